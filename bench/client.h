/* Decides how the programs of this directory tell the time, what clients ask, and when an answer is whole. */
#ifndef CLIENT_H
#define CLIENT_H
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES_MAX = 8192 };
static const int64_t NS = 1000000000;

struct request {
    size_t bytes;
    char start[REQUEST_BYTES_MAX];
};

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS + t.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline double uniform(uint64_t *seed) { /* xorshift64*, in (0, 1] */
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (double)(((*seed * 2685821657736338717ULL) >> 11) + 1) / 9007199254740992.0;
}

static inline uint64_t seeded(const char *number) {
    return strtoull(number, NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
}

static inline void read_request(struct request *request, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    request->bytes = fread(request->start, 1, sizeof request->start, file);
    fclose(file);
}

/* As many descriptors as the kernel lets us have. */
static inline void raise_descriptors(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* A socket that is connected to a port of 127.0.0.1, or, with SOCK_NONBLOCK among `flags`, will be; -1 with errno. */
static inline int connect_to(int port, int flags) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Of an answer that ends with a 0 byte: 1 when it is whole, 0 when bytes are missing, -1 when only the connection's end
 * tells. */
static inline int whole(const char *answer, size_t used) {
    const char *end = strstr(answer, "\r\n\r\n");
    if (!end) return 0;
    size_t head = (size_t)(end - answer) + 4;
    const char *field = strcasestr(answer, "\r\ncontent-length:");
    if (field && field < end) return used >= head + strtoul(field + 17, NULL, 10);
    field = strcasestr(answer, "\r\ntransfer-encoding: chunked");
    if (field && field < end) return used >= 5 && memcmp(answer + used - 5, "0\r\n\r\n", 5) == 0;
    return -1;
}

static inline int status_of(const char *answer, size_t used) {
    return used < 12 ? 0 : atoi(answer + 9);
}

static inline int closes(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n"), *field = strcasestr(answer, "\r\nconnection: close");
    return field && field < end + 2;
}

static inline int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Of `count` sorted numbers; 0 of none. */
static inline uint32_t quantile(const uint32_t *sorted, uint64_t count, double q) {
    uint64_t index = (uint64_t)(q * (double)count);
    return count == 0 ? 0 : sorted[index < count ? index : count - 1];
}
#endif
