/* Decides whether a server ever turns a client away: each request comes on a connection of its own, at a set rate.
 *
 *   newcomers PORT REQUEST_FILE RATE_PER_S SECONDS
 *
 * Requests are due at equal distances, whatever becomes of those before. REQUEST_FILE asks for `Connection: close`; an
 * answer is served when it is a 200 that ends with the connection, after as many bytes as it has announced. Ends after
 * SECONDS, or, with SIGTERM, when what is open has ended. Prints one JSON object: how many were sent, served, answered
 * otherwise, refused, reset, cut, and still open 10 s after the last; and the longest time, in ms.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"

enum { ANSWER_BYTES_MAX = 4096, OPEN_MAX_AT_ONCE = 16384, EVENTS_PER_WAIT = 256 };

struct call {
    int fd;
    int asked;
    int64_t due;
    size_t used;
    char answer[ANSWER_BYTES_MAX];
};

static struct request request;
static struct call *calls, **unused;
static int free_count, open_count, epoll_fd;
static uint64_t sent, served, otherwise, refused, reset, cut, late;
static int64_t longest;
static volatile sig_atomic_t stopped;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

static void end(struct call *c, uint64_t *counter) {
    int64_t took = now_ns() - c->due;
    if (took > longest) longest = took;
    (*counter)++;
    if (c->fd >= 0) close(c->fd);
    unused[free_count++] = c;
    open_count--;
}

static uint64_t *judged(struct call *c) {
    c->answer[c->used] = 0;
    if (whole(c->answer, c->used) == 0) return &cut;
    return status_of(c->answer, c->used) == 200 ? &served : &otherwise;
}

static void begin(int port, int64_t due) {
    struct call *c = unused[--free_count];
    c->fd = connect_to(port, SOCK_NONBLOCK);
    c->asked = 0;
    c->used = 0;
    c->due = due;
    sent++;
    open_count++;
    if (c->fd < 0) {
        end(c, &refused);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
}

static void go_on(struct call *c, uint32_t events) {
    if (!c->asked) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            end(c, error == ECONNREFUSED ? &refused : &reset);
            return;
        }
        if (!(events & EPOLLOUT)) return;
        if (send(c->fd, request.start, request.bytes, MSG_NOSIGNAL) != (ssize_t)request.bytes) {
            end(c, &reset);
            return;
        }
        c->asked = 1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
        return;
    }
    ssize_t got = recv(c->fd, c->answer + c->used, ANSWER_BYTES_MAX - 1 - c->used, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) {
        end(c, &reset);
    } else if (got == 0) {
        end(c, judged(c));
    } else {
        c->used += (size_t)got;
        if (c->used >= ANSWER_BYTES_MAX - 1) end(c, &otherwise);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: %s PORT REQUEST_FILE RATE_PER_S SECONDS\n", argv[0]);
        return 2;
    }
    read_request(&request, argv[2]);
    int port = atoi(argv[1]);
    double rate = atof(argv[3]), seconds = atof(argv[4]);
    if (rate <= 0 || seconds <= 0) return 2;
    raise_descriptors();
    calls = calloc(OPEN_MAX_AT_ONCE, sizeof *calls);
    unused = calloc(OPEN_MAX_AT_ONCE, sizeof *unused);
    if (!calls || !unused) die("calloc");
    for (int i = 0; i < OPEN_MAX_AT_ONCE; i++) unused[free_count++] = calls + i;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGTERM, stop);
    struct epoll_event events[EVENTS_PER_WAIT];
    int64_t start = now_ns(), last = start + (int64_t)(seconds * (double)NS), give_up = 0;
    while (1) {
        int64_t now = now_ns(), due = start + (int64_t)((double)sent / rate * (double)NS);
        while (!stopped && due <= now && due < last && free_count > 0) {
            begin(port, due);
            due = start + (int64_t)((double)sent / rate * (double)NS);
        }
        if (stopped || due >= last) {
            if (!give_up) give_up = now + 10 * NS;
            if (open_count == 0) break;
            if (now > give_up) {
                late = (uint64_t)open_count;
                break;
            }
        }
        int ready = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, 1);
        for (int i = 0; i < ready; i++) go_on(events[i].data.ptr, events[i].events);
    }
    printf("{\"sent\": %llu, \"served\": %llu, \"otherwise\": %llu, \"refused\": %llu, \"reset\": %llu, \"cut\": %llu, "
           "\"late\": %llu, \"seconds\": %.3f, \"longest_ms\": %.1f}\n",
           (unsigned long long)sent, (unsigned long long)served, (unsigned long long)otherwise,
           (unsigned long long)refused, (unsigned long long)reset, (unsigned long long)cut, (unsigned long long)late,
           (double)(now_ns() - start) / 1e9, (double)longest / 1e6);
    return 0;
}
