/*
 * Preloaded into a server (LD_PRELOAD): a disk whose every sync takes BENCH_FSYNC_US microseconds
 * longer.
 *
 * It wraps libc's fsync and fdatasync, which is what Node, libuv and SQLite call. A program that
 * makes its system calls itself, as Go's do, does not notice. BENCH_FSYNC_COUNT names a file in
 * which the number of wrapped calls is kept, eight bytes of the machine's order: proof that the
 * wrapper was in place.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static long delay_us;
static _Atomic unsigned long long *calls;
static int (*libc_fsync)(int);
static int (*libc_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
  const char *delay = getenv("BENCH_FSYNC_US");
  const char *file = getenv("BENCH_FSYNC_COUNT");
  delay_us = delay ? atol(delay) : 0;
  libc_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  libc_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (!file) return;
  int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (ftruncate(fd, sizeof *calls) == 0) {
    void *page = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) calls = page;
  }
  close(fd);
}

static int slowly(int (*sync)(int), int fd) {
  int result = sync(fd);
  struct timespec rest = {delay_us / 1000000, delay_us % 1000000 * 1000};
  if (delay_us > 0) nanosleep(&rest, NULL);
  if (calls) atomic_fetch_add(calls, 1);
  return result;
}

int fsync(int fd) { return slowly(libc_fsync, fd); }

int fdatasync(int fd) { return slowly(libc_fdatasync, fd); }
