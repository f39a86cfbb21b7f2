// libicon-reseed.so, for LD_PRELOAD in services that may be cloned. A copy of a process makes the
// same "random" numbers as its original until its generators get new seeds. A thread waits for the
// agent's word and then reseeds OpenSSL, Python's `random` and the C library's generators. No C++
// run time: it goes into any process of a glibc image.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/reseed_protocol.h"

namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr const char* kRunDir = "/run/icon";
constexpr const char* kCryptoLibraries[] = {"libcrypto.so.3", "libcrypto.so.1.1"};

// The main generator's reseed counter makes those of all threads reseed before their next number.
void reseed_openssl() {
  using RandPoll = int (*)();
  for (const char* name : kCryptoLibraries) {
    void* library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) continue;
    if (const auto poll = reinterpret_cast<RandPoll>(dlsym(library, "RAND_poll"))) poll();
    dlclose(library);
  }
  // Where it is part of the program itself.
  if (const auto poll = reinterpret_cast<RandPoll>(dlsym(RTLD_DEFAULT, "RAND_poll"))) poll();
}

int reseed_python_now(void*) {
  using Run = int (*)(const char*, void*);
  if (const auto run = reinterpret_cast<Run>(dlsym(RTLD_DEFAULT, "PyRun_SimpleStringFlags")))
    run("import sys\nif 'random' in sys.modules: sys.modules['random'].seed()\n", nullptr);
  return 0;
}

// The interpreter runs it in its own time, before its next line.
void reseed_python() {
  using AddPendingCall = int (*)(int (*)(void*), void*);
  const auto add = reinterpret_cast<AddPendingCall>(dlsym(RTLD_DEFAULT, "Py_AddPendingCall"));
  if (add != nullptr) add(reseed_python_now, nullptr);
}

void reseed_libc() {
  unsigned seeds[3];
  if (getrandom(seeds, sizeof seeds, 0) != sizeof seeds) return;
  srandom(seeds[0]);
  srand48(static_cast<long>(seeds[1]));
}

void answer() {
  char path[64];
  snprintf(path, sizeof path, "%s%s", kRunDir, icon::agent::kReseedFifo);
  const int fifo = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (fifo < 0) return;
  char line[32];
  const int size = snprintf(line, sizeof line, "%d\n", getpid());
  (void)!write(fifo, line, static_cast<size_t>(size));
  close(fifo);
}

void* wait_for_word(void*) {
  pthread_setname_np(pthread_self(), icon::agent::kReseedThread);
  sigset_t word;
  sigemptyset(&word);
  sigaddset(&word, icon::agent::kReseedSignal);
  for (;;) {
    int number = 0;
    if (sigwait(&word, &number) != 0) return nullptr;
    reseed_openssl();
    reseed_python();
    reseed_libc();
    answer();
  }
}

void start_thread() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  (void)pthread_create(&thread, &attributes, wait_for_word, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
}

// A forked process has only the thread that forked.
__attribute__((constructor)) void begin() {
  start_thread();
  pthread_atfork(nullptr, nullptr, start_thread);
}

}  // namespace
