/* Decides nothing: speaks as a provider of models does, as cheaply as it can be done.
 *
 *   provider PORT CHUNKS INTERVAL_US
 *
 * One thread, one epoll set, 127.0.0.1 only. A POST whose body asks for "stream":true is answered with CHUNKS events of
 * chat.completion.chunk, one every INTERVAL_US (0: all at once), then what it has used, and [DONE]; any other with one
 * chat.completion. The text of every event is the moment when it was sent (CLOCK_MONOTONIC, ns), so that a reader knows
 * how long it took. A request is a head up to CRLF CRLF and Content-Length bytes of body.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include "server.h"

enum { BUFFER_BYTES = 65536, EVENTS_PER_WAIT = 256, TICK_US = 500 };

#define ID "chatcmpl-BhT2nQx8WcVd0000000000000001"
#define COMMON "\"created\":1764000000,\"model\":\"m-1-2026-01-01\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_07871e2ad8\""

static const char ANSWER_BODY[] =
    "{\"id\":\"" ID "\",\"object\":\"chat.completion\"," COMMON ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
    "\"content\":\"A hold reserves money that stays on the card, and a capture takes it; what is not captured in time goes "
    "back to the holder of the card as if nothing had been.\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":27,\"completion_tokens\":36,\"total_tokens\":63,"
    "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,"
    "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}";

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
static const char EVENT[] =
    "data: {\"id\":\"" ID "\",\"object\":\"chat.completion.chunk\"," COMMON ",\"choices\":[{\"index\":0,\"delta\":"
    "{\"content\":\"%020llu\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
static const char LAST[] =
    "data: {\"id\":\"" ID "\",\"object\":\"chat.completion.chunk\"," COMMON ",\"choices\":[{\"index\":0,\"delta\":{},"
    "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
    "data: {\"id\":\"" ID "\",\"object\":\"chat.completion.chunk\"," COMMON ",\"choices\":[],\"usage\":{\"prompt_tokens\":27,"
    "\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n";

struct connection {
    int fd;
    int left;                        /* events of the stream still to be sent; -1: none is going on */
    int64_t due_ns;
    size_t at;                       /* among the streams */
    size_t used;
    char *buffer;
};

static int chunks;
static int64_t interval_ns;
static struct connection **streams;
static size_t streaming, streams_room;
static char answer[4096];
static size_t answer_bytes;

static int send_all(struct connection *c, const char *data, size_t length) {
    /* What is sent is far smaller than the socket buffer: a short write means a reader that does not read. */
    return send(c->fd, data, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

static int send_chunk(struct connection *c, const char *data, int length, int last) {
    char out[4096];
    int head = snprintf(out, sizeof out, "%x\r\n", length);
    memcpy(out + head, data, (size_t)length);
    memcpy(out + head + length, last ? "\r\n0\r\n\r\n" : "\r\n", last ? 7 : 2);
    return send_all(c, out, (size_t)(head + length + (last ? 7 : 2)));
}

static void stop_streaming(struct connection *c) {
    if (c->left < 0) return;
    c->left = -1;
    streams[c->at] = streams[--streaming];
    streams[c->at]->at = c->at;
}

/* Send what is due; -1 when the connection is broken. */
static int send_due(struct connection *c, int64_t now) {
    char event[2048];
    while (c->left >= 0 && c->due_ns <= now) {
        if (c->left == 0) {
            int length = snprintf(event, sizeof event, LAST, chunks, chunks + 27);
            stop_streaming(c);
            return send_chunk(c, event, length, 1);
        }
        c->left--;
        c->due_ns += interval_ns;
        int length = snprintf(event, sizeof event, EVENT, (unsigned long long)now_ns());
        if (send_chunk(c, event, length, 0) < 0) return -1;
    }
    return 0;
}

static int begin_stream(struct connection *c) {
    if (streaming == streams_room) {
        streams_room = streams_room ? 2 * streams_room : 1024;
        streams = realloc(streams, streams_room * sizeof *streams);
        if (!streams) die("realloc");
    }
    int64_t now = now_ns();
    c->left = chunks;
    c->due_ns = now + (interval_ns ? rand() % interval_ns : 0);
    c->at = streaming;
    streams[streaming++] = c;
    return send_all(c, STREAM_HEAD, sizeof STREAM_HEAD - 1) < 0 ? -1 : send_due(c, now);
}

/* Returns -1 when the connection is to be closed. */
static int serve(struct connection *c) {
    ssize_t got = recv(c->fd, c->buffer + c->used, BUFFER_BYTES - 1 - c->used, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0) return -1;
    c->used += (size_t)got;
    c->buffer[c->used] = 0;
    size_t length;
    while ((length = request_bytes(c->buffer, c->used)) > 0) {
        int stream = memmem(c->buffer, length, "\"stream\":true", 13) || memmem(c->buffer, length, "\"stream\": true", 14);
        memmove(c->buffer, c->buffer + length, c->used - length);
        c->used -= length;
        if ((stream ? begin_stream(c) : send_all(c, answer, answer_bytes)) < 0) return -1;
    }
    return c->used < BUFFER_BYTES - 1 ? 0 : -1;
}

static void admit(int epoll_fd, int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        if (!c || !(c->buffer = malloc(BUFFER_BYTES))) die("malloc");
        c->fd = fd;
        c->left = -1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

static void let_go(struct connection *c) {
    stop_streaming(c);
    close(c->fd);
    free(c->buffer);
    free(c);
}

static int tick_on(int epoll_fd, void *mark) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec every = {{0, TICK_US * 1000}, {0, TICK_US * 1000}};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};
    if (fd < 0 || timerfd_settime(fd, 0, &every, NULL) < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        die("timerfd");
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s PORT CHUNKS INTERVAL_US\n", argv[0]);
        return 2;
    }
    chunks = atoi(argv[2]);
    interval_ns = strtoll(argv[3], NULL, 10) * 1000;
    raise_descriptors();
    answer_bytes = (size_t)snprintf(answer, sizeof answer,
                                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                                    sizeof ANSWER_BODY - 1, ANSWER_BODY);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(atoi(argv[1]));
    if (epoll_fd < 0) die("epoll_create1");
    struct epoll_event events[EVENTS_PER_WAIT], event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    int timer = interval_ns ? tick_on(epoll_fd, &timer) : -1;
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, -1);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            void *source = events[i].data.ptr;
            if (source == NULL) {
                admit(epoll_fd, listener);
            } else if (source == &timer) {
                uint64_t ticks;
                int64_t now = now_ns();
                if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) die("read");
                /* A stream that ends leaves its place to the last one, which is then due at the next tick. A reader that
                 * has gone is met again as an event of its own. */
                for (size_t at = 0; at < streaming; at++)
                    if (send_due(streams[at], now) < 0) shutdown(streams[at]->fd, SHUT_RDWR);
            } else if (serve(source) < 0) {
                let_go(source);
            }
        }
    }
}
