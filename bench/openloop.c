/* Decides when each request is sent before the run begins to answer, so that a slow server cannot slow its load.
 *
 *   openloop PORT REQUEST_FILE RATE_PER_S SECONDS CONNECTIONS STATUS SEED
 *
 * Arrivals are a Poisson process of RATE_PER_S, fixed by SEED: two runs ask at the same instants. A latency is counted
 * from the instant that the timetable names, not from the write, so time spent waiting for a free connection or behind
 * a stalled server is in it (no coordinated omission). The first 10 % of the run warms up and is not reported.
 * The seven bytes "{trace}" in REQUEST_FILE, where present, become the request's number in hex. Idle connections are
 * used in turn, the one that has rested longest first.
 * Prints one JSON object: microseconds at p50, p90, p99, p99.9 and the maximum, and counts of everything that went wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client.h"

enum { ANSWER_BYTES_MAX = 16384, CONNECTIONS_MAX = 4096, EVENTS_PER_WAIT = 256 };

struct connection {
    int fd;
    int busy;
    int64_t due;
    size_t used;
    char buffer[ANSWER_BYTES_MAX];
};

static struct request request;
static char *trace;
static struct connection *connections, **idle;
static int idle_count, idle_first, total;
static uint32_t *latencies;
static uint64_t recorded, sent, wrong_status, broken, seed;
static int wanted_status;
static int64_t warm_until;

static struct connection *take(void) {
    struct connection *c = idle[idle_first];
    idle_first = (idle_first + 1) % total;
    idle_count--;
    return c;
}

static void give_back(struct connection *c) {
    idle[(idle_first + idle_count++) % total] = c;
}

static void send_on(struct connection *c, int64_t due) {
    if (trace) {
        char digits[8];
        snprintf(digits, sizeof digits, "%07llx", (unsigned long long)(sent & 0xfffffff));
        memcpy(trace, digits, 7);
    }
    c->due = due;
    c->busy = 1;
    c->used = 0;
    if (send(c->fd, request.start, request.bytes, MSG_NOSIGNAL) != (ssize_t)request.bytes) broken++;
    sent++;
}

static void receive(struct connection *c) {
    ssize_t got = recv(c->fd, c->buffer + c->used, ANSWER_BYTES_MAX - 1 - c->used, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        fprintf(stderr, "openloop: the server closed a connection\n");
        exit(3);
    }
    c->used += (size_t)got;
    c->buffer[c->used] = 0;
    int state = c->busy ? whole(c->buffer, c->used) : -1;
    if (state == 0) return;
    if (state < 0) broken++;
    if (status_of(c->buffer, c->used) != wanted_status) wrong_status++;
    if (c->due >= warm_until) {
        int64_t ns = now_ns() - c->due;
        latencies[recorded++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    }
    c->busy = 0;
    give_back(c);
}

static double microseconds_at(double q) {
    return quantile(latencies, recorded, q) / 1000.0;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: %s PORT REQUEST_FILE RATE_PER_S SECONDS CONNECTIONS STATUS SEED\n", argv[0]);
        return 2;
    }
    read_request(&request, argv[2]);
    trace = memmem(request.start, request.bytes, "{trace}", 7);
    double rate = atof(argv[3]), seconds = atof(argv[4]);
    int count = total = atoi(argv[5]);
    wanted_status = atoi(argv[6]);
    seed = seeded(argv[7]);
    if (rate <= 0 || seconds <= 0 || count < 1 || count > CONNECTIONS_MAX) return 2;
    prctl(PR_SET_TIMERSLACK, 1); /* the default, 50 µs, would be in every latency */
    connections = calloc((size_t)count, sizeof *connections);
    idle = calloc((size_t)count, sizeof *idle);
    latencies = calloc((size_t)(rate * seconds * 1.5) + 1000, sizeof *latencies);
    if (!connections || !idle || !latencies) die("calloc");
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event events[EVENTS_PER_WAIT], event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || timer < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &event) < 0) die("epoll");
    for (int i = 0; i < count; i++) {
        struct connection *c = connections + i;
        c->fd = connect_to(atoi(argv[1]), 0);
        if (c->fd < 0) die("connect");
        event.data.ptr = c;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
        give_back(c);
    }
    int64_t start = now_ns() + NS / 50, end = start + (int64_t)(seconds * (double)NS);
    int64_t due = start, give_up = end + 2 * NS;
    warm_until = start + (end - start) / 10;
    uint64_t late_starts = 0;
    for (;;) {
        int64_t now = now_ns();
        while (due <= now && due < end && idle_count > 0) {
            if (now - due > 1000000) late_starts++;
            send_on(take(), due);
            due += (int64_t)(-log(uniform(&seed)) / rate * (double)NS) + 1;
        }
        if ((due >= end && idle_count == count) || now > give_up) break;
        int64_t wake = due < end ? (idle_count > 0 ? due : now + NS / 10) : give_up;
        struct itimerspec when = {.it_value = {.tv_sec = wake / NS, .tv_nsec = wake % NS}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
        int ready = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, 1000);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr) {
                receive(events[i].data.ptr);
            } else {
                uint64_t expirations;
                if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timerfd");
            }
        }
    }
    qsort(latencies, recorded, sizeof *latencies, compare_u32);
    printf("{\"sent\": %llu, \"recorded\": %llu, \"unanswered\": %d, \"wrong_status\": %llu, \"broken\": %llu, "
           "\"late_starts\": %llu, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f}\n",
           (unsigned long long)sent, (unsigned long long)recorded, count - idle_count,
           (unsigned long long)wrong_status, (unsigned long long)broken, (unsigned long long)late_starts,
           microseconds_at(0.5), microseconds_at(0.9), microseconds_at(0.99), microseconds_at(0.999),
           microseconds_at(1.0));
    return 0;
}
