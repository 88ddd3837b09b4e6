// Calls: Fibonacci, Takeuchi and Ackermann functions, and the eight queens.
#include "kernel.h"

// Keeps the compiler from turning recursion into loops.
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

static NOINLINE uint64_t fibonacci(uint64_t n) {
  if (n < 2)
    return n;
  uint64_t a = fibonacci(n - 1);
  OPAQUE(a);
  uint64_t b = fibonacci(n - 2);
  OPAQUE(b);
  return a + b;
}

static NOINLINE int64_t takeuchi(int64_t x, int64_t y, int64_t z) {
  if (y >= x)
    return z;
  int64_t a = takeuchi(x - 1, y, z), b = takeuchi(y - 1, z, x), c = takeuchi(z - 1, x, y);
  OPAQUE(a);
  int64_t result = takeuchi(a, b, c);
  OPAQUE(result);
  return result;
}

static NOINLINE uint64_t ackermann(uint64_t m, uint64_t n) {
  if (m == 0)
    return n + 1;
  if (n == 0)
    return ackermann(m - 1, 1);
  uint64_t inner = ackermann(m, n - 1);
  OPAQUE(inner);
  return ackermann(m - 1, inner);
}

static NOINLINE int queens(uint32_t columns, uint32_t left, uint32_t right) {
  if (columns == 0xff)
    return 1;
  int solutions = 0;
  for (uint32_t free = ~(columns | left | right) & 0xff; free; free &= free - 1) {
    uint32_t bit = free & -free;
    solutions += queens(columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return solutions;
}

uint64_t kernel(void) {
  uint64_t result = 0;
  for (int round = 0; round < ROUNDS; round++) {
    result = result * 31 + fibonacci(22 + (round & 1));
    result += (uint64_t)takeuchi(14, 8, round & 3);
    result += ackermann(2, 90 + (round & 7));
    result += (uint64_t)queens(0, 0, 0);
  }
  return result;
}
