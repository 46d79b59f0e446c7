/* Decides how many events of streamed completions come, and how late: many readers in one thread.
 *
 *   listeners PORT REQUEST_FILE STREAMS SECONDS PAUSE_US
 *
 * Each of STREAMS connections to 127.0.0.1 sends the request of REQUEST_FILE and reads its stream to the end; then it asks
 * again, on the same connection, until SECONDS are over. They begin one after another over the first quarter of the time,
 * by chance (the same in every run), as callers do who know nothing of each other. An event is counted where it has
 * "content":"…" with the moment when it was sent in it (see provider.c); what comes in the first third of the time is not.
 * Prints one line of JSON with the counted events, quantiles of their delay in µs, the streams that ended whole, and what
 * went wrong.
 *
 * PAUSE_US is how long it rests between two looks at what has come. One that looks all the time is woken for every event:
 * a thousand streams then take all of the core that it shares with the provider, and it measures itself.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include "client.h"

enum { BUFFER_BYTES = 32768, EVENTS_PER_WAIT = 512, MARK_BYTES = 11, DIGITS = 20, DELAYS_MAX = 1 << 26 };

static const char MARK[] = "\"content\":\"";
static const char END[] = "\r\n0\r\n\r\n";

struct listener {
    int fd;
    int begun;                       /* the status of this answer has been seen */
    size_t used;
    char buffer[BUFFER_BYTES];
};

static struct request request;
static uint32_t *delays_us;
static size_t counted, ended, refused, broken;
static int64_t count_from;

static void ask(struct listener *l) {
    l->begun = 0;
    if (send(l->fd, request.start, request.bytes, MSG_NOSIGNAL) != (ssize_t)request.bytes) die("send");
}

static void note(int64_t now, const char *digits) {
    char text[DIGITS + 1] = {0};
    memcpy(text, digits, DIGITS);
    int64_t sent = strtoll(text, NULL, 10);
    if (now >= count_from && counted < DELAYS_MAX) delays_us[counted++] = now > sent ? (uint32_t)((now - sent) / 1000) : 0;
}

/* Takes in what has come. -1: the answer was no stream, or the connection has ended. */
static int take(struct listener *l) {
    ssize_t got = recv(l->fd, l->buffer + l->used, BUFFER_BYTES - l->used, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0) return -1;
    int64_t now = now_ns();
    l->used += (size_t)got;
    if (!l->begun) {
        if (l->used < 12) return 0;
        if (memcmp(l->buffer, "HTTP/1.1 200", 12) != 0) {
            refused++;
            return -1;
        }
        l->begun = 1;
    }
    const char *at = l->buffer, *end = l->buffer + l->used, *found;
    while ((found = memmem(at, (size_t)(end - at), MARK, MARK_BYTES)) && end - found >= MARK_BYTES + DIGITS) {
        if (found[MARK_BYTES] == '0') note(now, found + MARK_BYTES);
        at = found + MARK_BYTES;
    }
    const size_t tail = sizeof END - 1;
    if (l->used >= tail && memcmp(end - tail, END, tail) == 0) {
        ended++;
        l->used = 0;
        ask(l);
        return 0;
    }
    /* Keep a mark that may not be whole, and what may be the beginning of the end. */
    size_t keep = found ? (size_t)(end - found) : (size_t)(end - at) < 64 ? (size_t)(end - at) : 64;
    if (keep > 64) keep = 64;
    memmove(l->buffer, end - keep, keep);
    l->used = keep;
    return 0;
}

/* The next of numbers between 0 and 1, spread as if by chance (xorshift64). */
static double next_chance(void) {
    static uint64_t state = 0x9e3779b97f4a7c15ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / (double)(1ULL << 53);
}

static int compare_i64(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void begin(int port, int epoll_fd) {
    struct listener *l = calloc(1, sizeof *l);
    if (!l || (l->fd = connect_to(port, 0)) < 0) die("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = l};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, l->fd, &event) < 0) die("epoll_ctl");
    ask(l);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: %s PORT REQUEST_FILE STREAMS SECONDS PAUSE_US\n", argv[0]);
        return 2;
    }
    int port = atoi(argv[1]), streams = atoi(argv[3]);
    int64_t seconds_ns = (int64_t)(atof(argv[4]) * 1e9);
    const struct timespec pause = {.tv_nsec = atol(argv[5]) * 1000};
    read_request(&request, argv[2]);
    raise_descriptors();
    delays_us = malloc((size_t)DELAYS_MAX * sizeof *delays_us);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int64_t *starts = malloc((size_t)streams * sizeof *starts);
    if (!delays_us || !starts || epoll_fd < 0) die("start");
    int64_t began = now_ns(), ends = began + seconds_ns;
    count_from = began + seconds_ns / 3;
    for (int i = 0; i < streams; i++) starts[i] = began + (int64_t)(next_chance() * (double)seconds_ns / 4);
    qsort(starts, (size_t)streams, sizeof *starts, compare_i64);
    struct epoll_event events[EVENTS_PER_WAIT];
    int64_t now;
    for (int begun = 0; (now = now_ns()) < ends;) {
        while (begun < streams && now >= starts[begun]) {
            begin(port, epoll_fd);
            begun++;
        }
        int ready = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, begun < streams ? 1 : 100);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct listener *l = events[i].data.ptr;
            if (take(l) < 0) {
                broken++;
                close(l->fd);
                free(l);
            }
        }
        if (pause.tv_nsec) nanosleep(&pause, NULL);
    }
    qsort(delays_us, counted, sizeof *delays_us, compare_u32);
    printf("{\"events\": %zu, \"seconds\": %.3f, \"p50_us\": %u, \"p90_us\": %u, \"p99_us\": %u, \"p999_us\": %u, "
           "\"max_us\": %u, \"whole\": %zu, \"refused\": %zu, \"broken\": %zu}\n",
           counted, (double)(now_ns() - count_from) / 1e9, quantile(delays_us, counted, 0.5),
           quantile(delays_us, counted, 0.9), quantile(delays_us, counted, 0.99), quantile(delays_us, counted, 0.999),
           quantile(delays_us, counted, 1.0), ended, refused, broken);
    return 0;
}
