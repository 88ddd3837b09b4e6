// Tight integer loops: a table-driven CRC, a sieve, and 64-bit modular arithmetic with its high products.
#include "kernel.h"

static uint32_t table[256];
static uint8_t data[65536];
static uint8_t composite[1 << 18];

static NOINLINE uint32_t crc(const uint8_t *bytes, size_t length) {
  uint32_t c = ~0u;
  for (size_t i = 0; i < length; i++)
    c = table[(c ^ bytes[i]) & 0xff] ^ (c >> 8);
  return ~c;
}

static NOINLINE uint32_t sieve(uint32_t limit) {
  for (uint32_t i = 0; i < limit; i++)
    composite[i] = 0;
  uint32_t primes = 0;
  for (uint32_t i = 2; i < limit; i++) {
    if (composite[i])
      continue;
    primes++;
    for (uint32_t j = 2 * i; j < limit; j += i)
      composite[j] = 1;
  }
  return primes;
}

static NOINLINE uint64_t power(uint64_t base, uint64_t exponent, uint64_t modulus) {
  uint64_t result = 1;
  for (; exponent; exponent >>= 1) {
    if (exponent & 1)
      result = result * base % modulus;
    base = base * base % modulus;
  }
  return result;
}

static NOINLINE uint64_t mix(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t kernel(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; bit++)
      c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  uint64_t seed = 88172645463325252u, result = 0;
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)next_random(&seed);
  for (int round = 0; round < ROUNDS; round++) {
    result = result * 31 + crc(data, sizeof data);
    if (round % 4 == 0)
      result += sieve(sizeof composite);
    for (int i = 0; i < 2000; i++) {
      result ^= power(result & 0xffffffff, 65537, 4294967291u);
      result = mix(result | 1, seed + i);
    }
    data[round & 0xffff] ^= (uint8_t)result;
  }
  return result;
}
