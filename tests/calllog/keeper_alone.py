"""Keeps the call log of a segment until it is killed, in small steps: `python keeper_alone.py SEGMENT FOLDER`."""

import sys
import time

from conftest import KnownNames

from fastgw._segment import Segment
from fastgw.calllog import CallLog, LogSettings, drain, log, parquet

drain.ROTATE_ROWS = 400
log.READ_S = 0.002
log.TIDY_S = 0.05
parquet.SMALL_MAX = 3

if __name__ == "__main__":
    kept = CallLog(Segment.open(sys.argv[1]), sys.argv[2], KnownNames(), LogSettings(keep_ms=0))
    kept.start()
    print("ready", flush=True)
    while True:
        time.sleep(60)
