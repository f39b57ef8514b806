/*
 * What stands behind a proxy: the benchmark protocol (see node_face.py) without TLS.
 * One thread, epoll.  Prints "READY <port>".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG (1 << 20)

struct connection {
    int fd;
    char mode; /* 0: the first line is awaited; S, D, E */
    long long left;
    int chunk;
};

static char out[BIG], in[BIG + 1];
static int epoll;

static void await(struct connection *c, int writing) {
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static int again(void) { return errno == EAGAIN || errno == EWOULDBLOCK; }

/* What an echo cannot send at once is waited for: there is never much of it. */
static int sendAll(int fd, const char *data, int size) {
    while (size > 0) {
        int n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && !again()) return -1;
        if (n > 0) data += n, size -= n;
    }
    return 0;
}

static int pump(struct connection *c) {
    while (c->left > 0) {
        int size = c->left < c->chunk ? (int)c->left : c->chunk;
        int n = send(c->fd, out, size, MSG_NOSIGNAL);
        if (n < 0) {
            await(c, 1);
            return again() ? 0 : -1;
        }
        c->left -= n;
    }
    c->mode = 0;
    await(c, 0);
    return 0;
}

/* Negative: the connection is over. */
static int serve(struct connection *c) {
    if (c->mode == 'S') return pump(c);
    for (;;) {
        int n = recv(c->fd, in, BIG, 0);
        if (n <= 0) return n < 0 && again() ? 0 : -1;
        char *data = in;
        in[n] = 0;
        if (!c->mode) {
            char *end = memchr(in, '\n', n);
            if (!end) return -1;
            c->mode = in[0];
            c->left = 0;
            sscanf(in + 1, "%lld %d", &c->left, &c->chunk);
            if (c->chunk <= 0 || c->chunk > BIG) c->chunk = BIG;
            if (c->mode == 'S') return pump(c);
            data = end + 1;
            n -= data - in;
        }
        if (c->mode == 'E') {
            if (sendAll(c->fd, data, n) < 0) return -1;
        } else if ((c->left -= n) <= 0) {
            c->mode = 0;
            if (sendAll(c->fd, "K\n", 2) < 0) return -1;
        }
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int port = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct epoll_event events[256], e = {.events = EPOLLIN};
    if (bind(port, (void *)&address, sizeof address) || listen(port, 1024)) return 1;
    getsockname(port, (void *)&address, &size);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, port, &e);
    printf("READY %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1), fd;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c) {
                if (serve(c) < 0) close(c->fd), free(c);
                continue;
            }
            while ((fd = accept4(port, 0, 0, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = calloc(1, sizeof *c);
                c->fd = fd;
                e.data.ptr = c;
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
            }
        }
    }
}
