/* Decides where the servers of this directory listen, and where a request ends. */
#ifndef SERVER_H
#define SERVER_H
#include <strings.h>
#include "client.h"

enum { BACKLOG = 4096 };

/* A socket that accepts at a port of 127.0.0.1, without waiting. */
static inline int listen_on(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) die("listen");
    return fd;
}

/* Length of the first whole request, a head up to CRLF CRLF and Content-Length bytes; 0 when bytes are missing. */
static inline size_t request_bytes(const char *data, size_t used) {
    static const char name[] = "content-length:";
    const char *end = memmem(data, used, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t body = 0;
    for (const char *line = memchr(data, '\n', (size_t)(end - data)); line;
         line = memchr(line, '\n', (size_t)(end - line))) {
        line++;
        if ((*line | 0x20) == 'c' && strncasecmp(line, name, sizeof name - 1) == 0) {
            body = strtoul(line + sizeof name - 1, NULL, 10);
            break;
        }
    }
    size_t total = (size_t)(end - data) + 4 + body;
    return total <= used ? total : 0;
}
#endif
