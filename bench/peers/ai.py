"""Decides how gateways for language models take part: fastgw with everything on, Portkey's and LiteLLM's as they come.

The rivals are installed from their registries into a folder of their own, once, when they are asked for.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from processes import free_port

from peers.base import Launch, Peer, Site, output_of
from peers.fastgw import Fastgw

KEY = "sk-bench-0000001"
PROVIDER_KEY = "sk-provider-0001"
PORTKEY = "@portkey-ai/gateway@1.15.2"
LITELLM = "litellm[proxy]==1.99.4"

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{admin_port}"
segment_dir = "{memory_directory}"
state_dir = "{directory}/state"

[[providers]]
name = "provider"
url = "http://127.0.0.1:{upstream_port}/v1"
keys = ["{provider_key}"]

[[models]]
name = "m-1.0"
targets = ["provider/m-1.0"]
price = {{ input = "2.50", cached = "1.25", output = "10.00" }}

[[routes]]
name = "ai"
path = "/v1/"
models = ["*"]
price = "0.0001"
rate = "1000000/s"
burst = 1000000

[[accounts]]
name = "bench"
balance = "1000000"

[[keys]]
account = "bench"
key = "{key}"
"""

LITELLM_CONFIG = """
model_list:
  - model_name: m-1.0
    litellm_params:
      model: openai/m-1.0
      api_base: http://127.0.0.1:{upstream_port}/v1
      api_key: {provider_key}
litellm_settings:
  telemetry: false
general_settings:
  master_key: {key}
"""


class FastgwModels(Fastgw):
    title = "fastgw, everything on, metered by the token"
    checks = "key, limits, hold by the model's price, capture of what the provider counted, ledger, call log"
    modes = frozenset({"proxy"})

    def prepare(self, site: Site) -> Launch:
        port, admin_port = free_port(), free_port()
        config = site.directory / "fastgw.toml"
        config.write_text(
            CONFIG.format(
                port=port,
                admin_port=admin_port,
                directory=site.directory,
                memory_directory=site.memory_directory,
                upstream_port=site.upstream_port,
                provider_key=PROVIDER_KEY,
                key=KEY,
            )
        )
        argv = [str(self.program()), "serve", "-c", str(config), "--workers", str(site.workers)]
        return Launch(argv, {"proxy": port}, admin_port=admin_port, behind="fastgw.keeper")


class Installed(Peer):
    """A rival that is installed when it is asked for; `folder` keeps it from one run to the next."""

    modes = frozenset({"proxy"})

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name

    def fetch(self) -> None:
        """Install it. Raises RuntimeError with what the installer says."""
        raise NotImplementedError

    def _run(self, *argv: str) -> None:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


class Portkey(Installed):
    name = "portkey"
    title = "Portkey's gateway"
    checks = "nothing; it chooses the provider by header"
    install = f"npm install {PORTKEY}"

    def program(self) -> Path | None:
        program = self.folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
        return program if program.exists() else None

    def version(self) -> str:
        package = self.folder / "node_modules/@portkey-ai/gateway/package.json"
        return output_of("node", "-p", f"require('{package}').version")

    def fetch(self) -> None:
        if shutil.which("npm") is None:
            raise RuntimeError("npm is not installed: apt-get install npm")
        if self.program() is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._run("npm", "install", "--prefix", str(self.folder), "--no-audit", "--no-fund", PORTKEY)

    def prepare(self, site: Site) -> Launch:  # noqa: ARG002
        port = free_port()
        argv = ["node", str(self.program()), f"--port={port}", "--headless"]
        return Launch(argv, {"proxy": port}, env={"NODE_ENV": "production"})


class LiteLlm(Installed):
    name = "litellm"
    title = "LiteLLM's proxy"
    checks = "one key; no database, so no budgets"
    install = f"pip install '{LITELLM}'"

    def program(self) -> Path | None:
        program = self.folder / "bin/litellm"
        return program if program.exists() else None

    def version(self) -> str:
        return output_of(self.folder / "bin/pip", "show", "litellm").partition("Version: ")[2].partition("\n")[0]

    def fetch(self) -> None:
        if self.program() is None:
            self._run(sys.executable, "-m", "venv", str(self.folder))
            self._run(str(self.folder / "bin/pip"), "install", "-q", LITELLM)

    def prepare(self, site: Site) -> Launch:
        port, config = free_port(), site.directory / "config.yaml"
        config.write_text(LITELLM_CONFIG.format(upstream_port=site.upstream_port, provider_key=PROVIDER_KEY, key=KEY))
        argv = [str(self.program()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        env = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return Launch([*argv, "--num_workers", "1"], {"proxy": port}, env=env)
