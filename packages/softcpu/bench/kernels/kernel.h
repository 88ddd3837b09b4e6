// What the kernels share. Each defines kernel(), whose result depends on everything it computed; ROUNDS sets how long it runs.
#include <stddef.h>
#include <stdint.h>

#define NOINLINE __attribute__((noinline))

uint64_t kernel(void);

static inline uint64_t next_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}
