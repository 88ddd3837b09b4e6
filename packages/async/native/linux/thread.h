#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace tsvmm {

/// Starts a thread that takes no signals, which are for Node's own. `name` has at most 15 characters.
template <typename Body>
std::thread StartThread(const char* name, Body body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([name, body = std::move(body)] {
    pthread_setname_np(pthread_self(), name);
    body();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace tsvmm
