/*
 * The load generator for everything that reads: one thread, N keep-alive connections on loopback.
 *
 *   load -p PORT -c CONNECTIONS -f FILE [-m METHOD] [-H HEADER]...
 *        [-s SECONDS] [-n COUNT] [-r RATE] [-S]
 *
 * FILE has one path per line, asked for in turn. Without -r each connection asks again as soon as
 * it has its answer (closed loop) until SECONDS are over or COUNT requests were made. With -r
 * requests are due at fixed times whatever the server does (open loop), and a latency counts from
 * the time at which its request was due, so a stall is paid for by every request that it delays.
 * With -S each connection sends one request and then reads nothing for SECONDS. Bodies are thrown
 * away in the kernel (MSG_TRUNC): the client costs little. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES_MAX = 32 * 1024, ERRORS_MAX = 100, DRAIN_BYTES = 1 << 20 };

enum state { IDLE, HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

struct connection {
  int fd;
  enum state state;
  double due;
  uint64_t left;     /* of the body, or of the chunk */
  uint64_t line;     /* bytes of the trailer's line so far */
  size_t held;       /* bytes of the head so far */
  char head[HEAD_BYTES_MAX + 1];
};

static struct {
  int port, connections, stall, head_only;
  double seconds, rate;
  long count;
  const char *method;
  char headers[4096];
  char **paths;
  size_t paths_count;
} opt = {.connections = 1, .method = "GET"};

static struct {
  long sent, done, refused, errors;
  uint64_t bytes;
  double *latencies;
  size_t latencies_max;
} tally;

static int poll_fd;
static double begun, deadline;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_paths(const char *file) {
  FILE *in = fopen(file, "r");
  char *line = NULL;
  size_t room = 0;
  if (!in) die(file);
  for (ssize_t n; (n = getline(&line, &room, in)) > 0;) {
    if (line[n - 1] == '\n') line[n - 1] = 0;
    if (!*line) continue;
    opt.paths = realloc(opt.paths, (opt.paths_count + 1) * sizeof *opt.paths);
    opt.paths[opt.paths_count++] = strdup(line);
  }
  free(line);
  fclose(in);
  if (opt.paths_count == 0) {
    fprintf(stderr, "load: no paths in %s\n", file);
    exit(1);
  }
}

static void read_options(int argc, char **argv) {
  for (int c; (c = getopt(argc, argv, "p:c:f:m:H:s:n:r:S")) != -1;) {
    if (c == 'p') opt.port = atoi(optarg);
    else if (c == 'c') opt.connections = atoi(optarg);
    else if (c == 'f') read_paths(optarg);
    else if (c == 'm') opt.method = optarg;
    else if (c == 's') opt.seconds = atof(optarg);
    else if (c == 'n') opt.count = atol(optarg);
    else if (c == 'r') opt.rate = atof(optarg);
    else if (c == 'S') opt.stall = 1;
    else if (c == 'H') {
      size_t used = strlen(opt.headers);
      snprintf(opt.headers + used, sizeof opt.headers - used, "%s\r\n", optarg);
    } else exit(2);
  }
  opt.head_only = strcmp(opt.method, "HEAD") == 0;
  if (!opt.port || !opt.paths_count || (opt.seconds <= 0 && opt.count <= 0)) {
    fprintf(stderr, "load: -p, -f, and -s or -n are required\n");
    exit(2);
  }
}

static void dial(struct connection *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
  int one = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl");
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
  c->state = IDLE;
}

static void ask(struct connection *c, double due) {
  static size_t turn;
  char request[8192];
  int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n",
                        opt.method, opt.paths[turn++ % opt.paths_count], opt.port, opt.headers);
  c->state = HEAD;
  c->due = due;
  c->held = 0;
  tally.sent++;
  if (send(c->fd, request, (size_t)length, MSG_NOSIGNAL) != length) die("send");
}

static void answered(struct connection *c) {
  c->state = IDLE;
  if ((size_t)tally.done == tally.latencies_max) {
    tally.latencies_max = tally.latencies_max ? tally.latencies_max * 2 : 65536;
    tally.latencies = realloc(tally.latencies, tally.latencies_max * sizeof(double));
    if (!tally.latencies) die("realloc");
  }
  tally.latencies[tally.done++] = now() - c->due;
}

static void failed(struct connection *c) {
  close(c->fd);
  if (++tally.errors > ERRORS_MAX) {
    fprintf(stderr, "load: more than %d connections broke\n", ERRORS_MAX);
    exit(1);
  }
  dial(c);
}

/* The head is whole: what follows it? */
static void head_done(struct connection *c) {
  int status = atoi(c->head + 9);
  c->left = 0;
  c->state = BODY;
  for (char *line = strstr(c->head, "\r\n"); line; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, "content-length:", 15) == 0) c->left = strtoull(line + 15, NULL, 10);
    if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0) c->state = CHUNK_SIZE;
  }
  if (status < 200 || status > 299) tally.refused++;
  if (opt.head_only || (c->state == BODY && c->left == 0)) answered(c);
}

/* Takes bytes of a chunked body, up to its end. */
static void chunked(struct connection *c, const char *data, size_t length) {
  for (size_t i = 0; i < length && c->state != IDLE;) {
    char byte = data[i];
    if (c->state == CHUNK_DATA) {
      size_t take = length - i < c->left ? length - i : (size_t)c->left;
      i += take;
      c->left -= take;
      tally.bytes += take;
      if (c->left == 0) c->state = CHUNK_END;
      continue;
    }
    i++;
    if (c->state == CHUNK_END) {
      if (byte == '\n') c->state = CHUNK_SIZE;
    } else if (c->state == TRAILER) {
      if (byte == '\n' && c->line == 0) answered(c);
      else if (byte == '\n') c->line = 0;
      else if (byte != '\r') c->line++;
    } else if (byte == '\n') {
      c->line = 0;
      c->state = c->left == 0 ? TRAILER : CHUNK_DATA;
    } else if (byte != '\r') {
      int digit = byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10;
      c->left = c->left * 16 + (uint64_t)digit;
    }
  }
}

static void body_bytes(struct connection *c, size_t length) {
  tally.bytes += length;
  c->left -= length < c->left ? length : c->left;
  if (c->left == 0) answered(c);
}

static void head_bytes(struct connection *c, size_t length) {
  size_t from = c->held > 3 ? c->held - 3 : 0;
  c->held += length;
  c->head[c->held] = 0;
  char *end = memmem(c->head + from, c->held - from, "\r\n\r\n", 4);
  if (!end) {
    if (c->held == HEAD_BYTES_MAX) failed(c);
    return;
  }
  end += 4;
  size_t rest = c->held - (size_t)(end - c->head);
  end[-2] = 0;
  head_done(c);
  if (c->state == BODY && rest > 0) body_bytes(c, rest);
  else if (c->state != IDLE && rest > 0) chunked(c, end, rest);
}

static void readable(struct connection *c) {
  static char buffer[65536];
  ssize_t n;
  if (c->state == HEAD) n = recv(c->fd, c->head + c->held, HEAD_BYTES_MAX - c->held, 0);
  else if (c->state == BODY) {
    size_t want = c->left < DRAIN_BYTES ? (size_t)c->left : DRAIN_BYTES;
    n = recv(c->fd, NULL, want, MSG_TRUNC);
  } else n = recv(c->fd, buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) failed(c);
  else if (c->state == HEAD) head_bytes(c, (size_t)n);
  else if (c->state == BODY) body_bytes(c, (size_t)n);
  else chunked(c, buffer, (size_t)n);
}

static int may_ask(void) {
  return (opt.count == 0 || tally.sent < opt.count) && (deadline == 0 || now() < deadline);
}

static void closed_loop(struct connection *all) {
  struct epoll_event events[256];
  for (int i = 0; i < opt.connections && may_ask(); i++) ask(&all[i], now());
  while (tally.done < tally.sent) {
    int n = epoll_wait(poll_fd, events, 256, 30000);
    if (n == 0) {
      fprintf(stderr, "load: no answer for 30 s\n");
      exit(1);
    }
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      readable(c);
      if (c->state == IDLE && may_ask()) ask(c, now());
    }
  }
}

/* Sends what is due on the connections that are free. Returns the next request's number. */
static long send_due(struct connection *all, long next, long last) {
  for (int i = 0; i < opt.connections && next < last; i++) {
    double due = begun + (double)next / opt.rate;
    if (due > now()) break;
    if (all[i].state != IDLE) continue;
    ask(&all[i], due);
    next++;
  }
  return next;
}

static void open_loop(struct connection *all) {
  struct epoll_event events[256], tick = {.events = EPOLLIN, .data.ptr = NULL};
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  long last = (long)(opt.rate * opt.seconds), nanos = (long)(1e9 / opt.rate);
  struct itimerspec every = {{nanos / 1000000000, nanos % 1000000000}, {0, 1}};
  uint64_t ticks;
  if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) < 0) die("timerfd");
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer, &tick) < 0) die("epoll_ctl");
  for (long next = 0; next < last || tally.done < tally.sent;) {
    int n = epoll_wait(poll_fd, events, 256, 30000);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) readable(events[i].data.ptr);
      else if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) die("timer");
    }
    next = send_due(all, next, last);
    if (now() > deadline + 30) {
      fprintf(stderr, "load: no answer for 30 s\n");
      exit(1);
    }
  }
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double percentile(double share) {
  if (tally.done == 0) return 0;
  long at = (long)(share * (double)tally.done);
  return tally.latencies[at < tally.done ? at : tally.done - 1] * 1000;
}

static void report(double seconds) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  qsort(tally.latencies, (size_t)tally.done, sizeof(double), ascending);
  printf("{\"requests\":%ld,\"refused\":%ld,\"errors\":%ld,\"bytes\":%llu,\"seconds\":%.6f,"
         "\"cpuSeconds\":%.6f,\"p50Ms\":%.4f,\"p90Ms\":%.4f,\"p99Ms\":%.4f,\"maxMs\":%.4f}\n",
         tally.done, tally.refused, tally.errors, (unsigned long long)tally.bytes, seconds, cpu,
         percentile(0.5), percentile(0.9), percentile(0.99), percentile(1));
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  alarm((unsigned)(opt.seconds + 600));
  poll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct connection *all = calloc((size_t)opt.connections, sizeof *all);
  if (poll_fd < 0 || !all) die("begin");
  for (int i = 0; i < opt.connections; i++) dial(&all[i]);
  begun = now();
  deadline = opt.seconds > 0 ? begun + opt.seconds : 0;
  if (opt.stall) {
    for (int i = 0; i < opt.connections; i++) ask(&all[i], begun);
    usleep((useconds_t)(opt.seconds * 1e6));
  } else if (opt.rate > 0) open_loop(all);
  else closed_loop(all);
  report(now() - begun);
  return 0;
}
