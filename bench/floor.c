/* Decides nothing: answers every HTTP/1.1 request with the same bytes, the least a server on epoll can do.
 *
 *   floor COUNT_FILE PORT ANSWER_FILE [PORT ANSWER_FILE]...
 *
 * One thread, one epoll set, 127.0.0.1 only; every port has an answer of its own. A request is a head up to CRLF CRLF and
 * Content-Length bytes of body (chunked bodies are not read: no load in this directory sends one). Used twice: as the
 * floor that refusals are compared with, and as the upstream behind every gateway. COUNT_FILE, 8 bytes, is mapped and
 * holds the number of requests answered, so that a bench can prove what reached the upstream without asking it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include "server.h"

enum { BUFFER_BYTES = 16384, EVENTS_PER_WAIT = 256, ANSWER_BYTES_MAX = 8192, PORTS_MAX = 8 };

struct port {
    int listener;
    size_t answer_bytes;
    char answer[ANSWER_BYTES_MAX];
};


struct connection {
    int fd;
    const struct port *port;
    size_t used;
    char buffer[BUFFER_BYTES];
};

static struct port ports[PORTS_MAX];
static uint64_t *answered;

static void load_answer(struct port *port, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    port->answer_bytes = fread(port->answer, 1, sizeof port->answer, file);
    fclose(file);
}

static void map_counter(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *answered) < 0) die(path);
    answered = mmap(NULL, sizeof *answered, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (answered == MAP_FAILED) die("mmap");
    close(fd);
}

/* Returns -1 when the connection is to be closed. */
static int serve(struct connection *c) {
    ssize_t got = recv(c->fd, c->buffer + c->used, BUFFER_BYTES - 1 - c->used, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0) return -1;
    c->used += (size_t)got;
    c->buffer[c->used] = 0;
    size_t at = 0, length;
    while (at < c->used && (length = request_bytes(c->buffer + at, c->used - at)) > 0) {
        at += length;
        /* An answer is far smaller than the socket buffer: a short write means a client that does not read. */
        if (send(c->fd, c->port->answer, c->port->answer_bytes, MSG_NOSIGNAL) != (ssize_t)c->port->answer_bytes) return -1;
        ++*answered;
    }
    if (at > 0) {
        memmove(c->buffer, c->buffer + at, c->used - at);
        c->used -= at;
    }
    return c->used < BUFFER_BYTES - 1 ? 0 : -1;
}

static void admit(int epoll_fd, const struct port *port) {
    int one = 1, fd;
    while ((fd = accept4(port->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = malloc(sizeof *c);
        if (!c) die("malloc");
        c->fd = fd;
        c->port = port;
        c->used = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    int count = (argc - 2) / 2;
    if (argc % 2 != 0 || count < 1 || count > PORTS_MAX) {
        fprintf(stderr, "usage: %s COUNT_FILE PORT ANSWER_FILE [PORT ANSWER_FILE]...\n", argv[0]);
        return 2;
    }
    raise_descriptors();
    map_counter(argv[1]);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");
    struct epoll_event events[EVENTS_PER_WAIT];
    for (int i = 0; i < count; i++) {
        load_answer(ports + i, argv[3 + 2 * i]);
        ports[i].listener = listen_on(atoi(argv[2 + 2 * i]));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = ports + i};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ports[i].listener, &event) < 0) die("epoll_ctl");
    }
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, -1);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            void *source = events[i].data.ptr;
            if (source >= (void *)ports && source < (void *)(ports + count)) {
                admit(epoll_fd, source);
                continue;
            }
            struct connection *c = source;
            if (serve(c) < 0) {
                close(c->fd);
                free(c);
            }
        }
    }
}
