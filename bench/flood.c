/* Decides how many calls are answered in time when more are made than can be, and how soon all is well afterwards.
 *
 *   flood PORT REQUEST_FILE CONNECTIONS DEADLINE_MS SEED RATE_PER_S SECONDS [RATE_PER_S SECONDS]...
 *
 * Phases follow one another. In each, calls are due at instants fixed beforehand (a Poisson process), whatever becomes of
 * those before; with a rate of 0 it is a closed loop: CONNECTIONS calls are in flight all the time. A call takes the
 * connection that was used last, or opens another while there are fewer than CONNECTIONS, and fails at once where all are
 * busy, as in the pool of a client. It is given up after DEADLINE_MS, and its connection closed. Where REQUEST_FILE asks
 * for `Connection: close`, every call comes on a connection of its own.
 * As each phase begins, `phase N` is printed, for who watches the server. In the end a JSON array, an object a phase, of
 * the calls that were due in it: how many were answered 200 in time, refused with 503, answered otherwise, cut (reset or
 * not accepted), given up, and never sent; the first two with µs at p50 and p99. `served_per_s` counts what was answered
 * after the first sixth of the phase and before its end. `trouble_ms` is when the last call was due, since the phase
 * began, that was not answered 200 within a quarter of a second; -1: none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client.h"

enum { ANSWER_BYTES_MAX = 4096, EVENTS_PER_WAIT = 256, PHASES_MAX = 8, SOON_US = 250000 };
enum state { SHUT, CONNECTING, IDLE, BUSY };

struct connection {
    int fd;
    enum state state;
    int place; /* among the idle ones */
    int phase;
    int64_t due;
    struct connection *before, *after; /* those with a call, in the order that they were due */
    size_t used;
    char answer[ANSWER_BYTES_MAX];
};

struct times {
    uint64_t count, room;
    uint32_t *us;
};

struct phase {
    double rate;
    int64_t start, end, trouble;
    uint64_t unsent, otherwise, cut, given_up, in_window;
    struct times served, refused;
};

static struct request request;
static struct phase phases[PHASES_MAX];
static struct connection *connections, **idle, **shut, *oldest, *newest;
static int count, idle_count, shut_count, epoll_fd, port, phase_count, current;
static int64_t deadline_ns;

static void unlink_call(struct connection *c) {
    *(c->before ? &c->before->after : &oldest) = c->after;
    *(c->after ? &c->after->before : &newest) = c->before;
}

static void note(struct times *times, int64_t ns) {
    if (times->count == times->room) {
        times->room = times->room ? 2 * times->room : 4096;
        times->us = realloc(times->us, times->room * sizeof *times->us);
        if (!times->us) die("realloc");
    }
    times->us[times->count++] = (uint32_t)(ns / 1000);
}

static void trouble(struct phase *phase, int64_t due) {
    if (due - phase->start > phase->trouble) phase->trouble = due - phase->start;
}

static void hang_up(struct connection *c) {
    if (c->state == IDLE) {
        struct connection *last = idle[--idle_count];
        idle[c->place] = last;
        last->place = c->place;
    }
    if (c->fd >= 0) close(c->fd);
    c->state = SHUT;
    shut[shut_count++] = c;
}

/* The call is over, not answered; `counter` counts those that ended like that. */
static void fail(struct connection *c, uint64_t *counter) {
    (*counter)++;
    trouble(&phases[c->phase], c->due);
    unlink_call(c);
    hang_up(c);
}

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event) < 0) die("epoll_ctl");
}

static void ask(struct connection *c) {
    c->state = BUSY;
    c->used = 0;
    if (send(c->fd, request.start, request.bytes, MSG_NOSIGNAL) != (ssize_t)request.bytes)
        fail(c, &phases[c->phase].cut);
}

static void call(int64_t due) {
    struct connection *c;
    if (idle_count) {
        c = idle[--idle_count];
    } else if (shut_count) {
        c = shut[--shut_count];
    } else {
        phases[current].unsent++;
        trouble(&phases[current], due);
        return;
    }
    c->phase = current;
    c->due = due;
    c->before = newest;
    c->after = NULL;
    *(newest ? &newest->after : &oldest) = c;
    newest = c;
    if (c->state == IDLE) {
        ask(c);
        return;
    }
    c->state = CONNECTING;
    c->fd = connect_to(port, SOCK_NONBLOCK);
    if (c->fd < 0) {
        fail(c, &phases[current].cut);
        return;
    }
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void answered(struct connection *c) {
    struct phase *phase = &phases[c->phase];
    int64_t now = now_ns(), took = now - c->due;
    int status = status_of(c->answer, c->used);
    if (status == 200) {
        note(&phase->served, took);
        struct phase *here = &phases[current];
        if (now >= here->start + (here->end - here->start) / 6 && now < here->end) here->in_window++;
    } else if (status == 503) {
        note(&phase->refused, took);
    } else {
        phase->otherwise++;
    }
    if (status != 200 || took > (int64_t)SOON_US * 1000) trouble(phase, c->due);
    unlink_call(c);
    if (closes(c->answer)) {
        hang_up(c);
    } else {
        c->state = IDLE;
        c->place = idle_count;
        idle[idle_count++] = c;
    }
}

static void go_on(struct connection *c, uint32_t events) {
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            fail(c, &phases[c->phase].cut);
        } else if (events & EPOLLOUT) {
            watch(c, EPOLL_CTL_MOD, EPOLLIN);
            ask(c);
        }
        return;
    }
    if (c->state == SHUT) return; /* by what came before in the same turn */
    size_t used = c->state == BUSY ? c->used : 0;
    ssize_t got = recv(c->fd, c->answer + used, ANSWER_BYTES_MAX - 1 - used, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (c->state == IDLE) {
        hang_up(c);
    } else if (got <= 0) {
        fail(c, &phases[c->phase].cut);
    } else {
        c->used += (size_t)got;
        c->answer[c->used] = 0;
        int state = whole(c->answer, c->used);
        if (state < 0 || c->used == ANSWER_BYTES_MAX - 1) {
            fail(c, &phases[c->phase].otherwise);
        } else if (state > 0) {
            answered(c);
        }
    }
}

static void print(void) {
    printf("[");
    for (int i = 0; i < phase_count; i++) {
        struct phase *p = &phases[i];
        qsort(p->served.us, p->served.count, sizeof *p->served.us, compare_u32);
        qsort(p->refused.us, p->refused.count, sizeof *p->refused.us, compare_u32);
        printf("%s{\"served_per_s\": %.1f, \"served\": %llu, \"refused\": %llu, \"otherwise\": %llu, \"cut\": %llu, "
               "\"given_up\": %llu, \"unsent\": %llu, \"served_p50_us\": %u, \"served_p99_us\": %u, "
               "\"refused_p50_us\": %u, \"refused_p99_us\": %u, \"trouble_ms\": %.1f}",
               i ? ", " : "", (double)p->in_window / ((double)(p->end - p->start) * 5 / 6 / (double)NS),
               (unsigned long long)p->served.count, (unsigned long long)p->refused.count,
               (unsigned long long)p->otherwise, (unsigned long long)p->cut, (unsigned long long)p->given_up,
               (unsigned long long)p->unsent, quantile(p->served.us, p->served.count, 0.5),
               quantile(p->served.us, p->served.count, 0.99), quantile(p->refused.us, p->refused.count, 0.5),
               quantile(p->refused.us, p->refused.count, 0.99), (double)p->trouble / 1e6);
    }
    printf("]\n");
}

int main(int argc, char **argv) {
    if (argc < 8 || argc % 2 || argc > 6 + 2 * PHASES_MAX) {
        fprintf(stderr, "usage: %s PORT REQUEST_FILE CONNECTIONS DEADLINE_MS SEED RATE_PER_S SECONDS...\n", argv[0]);
        return 2;
    }
    port = atoi(argv[1]);
    read_request(&request, argv[2]);
    count = atoi(argv[3]);
    deadline_ns = atoll(argv[4]) * 1000000;
    uint64_t seed = seeded(argv[5]);
    if (count < 1 || deadline_ns < 1) return 2;
    raise_descriptors();
    connections = calloc((size_t)count, sizeof *connections);
    idle = calloc((size_t)count, sizeof *idle);
    shut = calloc((size_t)count, sizeof *shut);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event events[EVENTS_PER_WAIT], event = {.events = EPOLLIN, .data.ptr = NULL};
    if (!connections || !idle || !shut) die("calloc");
    if (epoll_fd < 0 || timer < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &event) < 0) die("epoll");
    for (int i = count; i--;) shut[shut_count++] = connections + i;
    int64_t begin = now_ns();
    for (int i = 6; i < argc; i += 2) {
        struct phase *p = &phases[phase_count++];
        p->rate = atof(argv[i]);
        p->start = begin;
        p->end = begin += (int64_t)(atof(argv[i + 1]) * (double)NS);
        p->trouble = -1000000;
    }
    printf("phase 0\n");
    fflush(stdout);
    int64_t due = phases[0].start;
    for (;;) {
        int64_t now = now_ns();
        struct phase *p = &phases[current];
        if (p->rate > 0) {
            for (; due <= now && due < p->end; due += (int64_t)(-log(uniform(&seed)) / p->rate * (double)NS) + 1)
                call(due);
        } else {
            for (int free = idle_count + shut_count; free && now < p->end; free--) call(now);
            due = now + NS / 100;
        }
        while (oldest && now - oldest->due > deadline_ns) fail(oldest, &phases[oldest->phase].given_up);
        if (now >= p->end && current + 1 < phase_count) {
            due = phases[++current].start;
            printf("phase %d\n", current);
            fflush(stdout);
            continue;
        }
        if (now >= p->end && !oldest) break;
        int64_t wake = due < p->end ? due : now < p->end ? p->end : now + NS / 100;
        if (oldest && oldest->due + deadline_ns < wake) wake = oldest->due + deadline_ns;
        struct itimerspec when = {.it_value = {.tv_sec = wake / NS, .tv_nsec = wake % NS + 1}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
        int ready = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, 1000);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr) {
                go_on(events[i].data.ptr, events[i].events);
            } else {
                uint64_t expirations;
                if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timerfd");
            }
        }
    }
    print();
    return 0;
}
