// Branches that data decides: a tokenizer, a byte-code interpreter with a jump table, and calls through pointers.
#include "kernel.h"

static char text[8192];
static uint8_t program[1024];

enum token { END, NUMBER, NAME, OPERATOR, SPACE, STRING, OTHER, TOKENS };

static NOINLINE enum token scan(const char **at) {
  const char *p = *at;
  enum token token;
  if (*p == 0) {
    token = END;
  } else if (*p >= '0' && *p <= '9') {
    while ((*p >= '0' && *p <= '9') || *p == '.')
      p++;
    token = NUMBER;
  } else if ((*p | 32) >= 'a' && (*p | 32) <= 'z') {
    while (((*p | 32) >= 'a' && (*p | 32) <= 'z') || (*p >= '0' && *p <= '9') || *p == '_')
      p++;
    token = NAME;
  } else if (*p == ' ' || *p == '\n') {
    while (*p == ' ' || *p == '\n')
      p++;
    token = SPACE;
  } else if (*p == '"') {
    for (p++; *p && *p != '"'; p++)
      if (*p == '\\' && p[1])
        p++;
    p += *p == '"';
    token = STRING;
  } else if (*p == '+' || *p == '-' || *p == '*' || *p == '/' || *p == '=' || *p == '<') {
    p += p[1] == '=' ? 2 : 1;
    token = OPERATOR;
  } else {
    p++;
    token = OTHER;
  }
  *at = p;
  return token;
}

static NOINLINE uint64_t interpret(const uint8_t *code, uint64_t a, int steps) {
  uint64_t b = 1, c = 2;
  const uint8_t *p = code;
  while (steps-- > 0) {
    uint8_t op = *p++;
    if (p == code + sizeof program)
      p = code;
    switch (op & 15) {
    case 0: a += b; break;
    case 1: a -= c; break;
    case 2: b ^= a; break;
    case 3: c = a >> 3; break;
    case 4: a = b * 5; break;
    case 5: b = c + op; break;
    case 6: if (a & 1) b++; break;
    case 7: a = a << 1 | a >> 63; break;
    case 8: c ^= b; break;
    case 9: a |= 1; break;
    case 10: b -= a; break;
    case 11: c += op; break;
    case 12: if (b > c) a ^= c; break;
    case 13: b = ~b; break;
    case 14: c = c * 3 + 1; break;
    default: a ^= b + c; break;
    }
  }
  return a ^ b ^ c;
}

typedef uint64_t (*function)(uint64_t, uint64_t);
static NOINLINE uint64_t f0(uint64_t a, uint64_t b) { return a + b; }
static NOINLINE uint64_t f1(uint64_t a, uint64_t b) { return a ^ (b << 1); }
static NOINLINE uint64_t f2(uint64_t a, uint64_t b) { return a * 3 - b; }
static NOINLINE uint64_t f3(uint64_t a, uint64_t b) { return (a >> 3) | (b << 61); }
static function functions[4];

static NOINLINE uint64_t dispatch(uint64_t a, int count) {
  uint64_t seed = a | 1;
  for (int i = 0; i < count; i++)
    a = functions[next_random(&seed) & 3](a, (uint64_t)i);
  return a;
}

uint64_t kernel(void) {
  static const char pieces[] = "12.5 if_x1 <= \"a\\\"b\" foo + 7*(bar)\n9/= while";
  uint64_t seed = 362436069u, result = 0;
  functions[0] = f0;
  functions[1] = f1;
  functions[2] = f2;
  functions[3] = f3;
  for (size_t i = 0; i < sizeof text - 1; i++)
    text[i] = pieces[(i + (next_random(&seed) >> 61)) % (sizeof pieces - 1)];
  for (size_t i = 0; i < sizeof program; i++)
    program[i] = (uint8_t)(next_random(&seed) >> 33);
  uint64_t counts[TOKENS] = {0};
  for (int round = 0; round < ROUNDS; round++) {
    const char *at = text;
    enum token token;
    while ((token = scan(&at)) != END)
      counts[token]++;
    result += interpret(program, result, 20000);
    result ^= dispatch(result, 5000);
    text[next_random(&seed) % (sizeof text - 1)] = pieces[round % (sizeof pieces - 1)];
  }
  for (int i = 0; i < TOKENS; i++)
    result = result * 31 + counts[i];
  return result;
}
