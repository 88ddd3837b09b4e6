// Floating point: planets, a matrix product in both precisions, a Mandelbrot set.
#include "kernel.h"

enum { BODIES = 5, SIZE = 40 };

static double position[BODIES][3], velocity[BODIES][3], mass[BODIES];
static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];
static float fa[SIZE][SIZE], fb[SIZE][SIZE], fc[SIZE][SIZE];

static double root(double x) {
  double result;
  __asm__("fsqrt.d %0, %1" : "=f"(result) : "f"(x));
  return result;
}

static NOINLINE void advance(double step) {
  for (int i = 0; i < BODIES; i++)
    for (int j = i + 1; j < BODIES; j++) {
      double d[3], square = 0;
      for (int k = 0; k < 3; k++) {
        d[k] = position[i][k] - position[j][k];
        square += d[k] * d[k];
      }
      double magnitude = step / (square * root(square));
      for (int k = 0; k < 3; k++) {
        velocity[i][k] -= d[k] * mass[j] * magnitude;
        velocity[j][k] += d[k] * mass[i] * magnitude;
      }
    }
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++)
      position[i][k] += step * velocity[i][k];
}

static NOINLINE void multiply(void) {
  for (int i = 0; i < SIZE; i++)
    for (int j = 0; j < SIZE; j++) {
      double sum = 0;
      for (int k = 0; k < SIZE; k++)
        sum += a[i][k] * b[k][j];
      c[i][j] = sum;
    }
}

static NOINLINE void multiply_single(void) {
  for (int i = 0; i < SIZE; i++)
    for (int j = 0; j < SIZE; j++) {
      float sum = 0;
      for (int k = 0; k < SIZE; k++)
        sum += fa[i][k] * fb[k][j];
      fc[i][j] = sum;
    }
}

static NOINLINE int mandelbrot(int size) {
  int total = 0;
  for (int y = 0; y < size; y++)
    for (int x = 0; x < size; x++) {
      double cr = 3.0 * x / size - 2, ci = 2.0 * y / size - 1, zr = 0, zi = 0;
      int n = 0;
      for (; n < 100 && zr * zr + zi * zi < 4; n++) {
        double t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
      }
      total += n;
    }
  return total;
}

uint64_t kernel(void) {
  uint64_t result = 0;
  for (int i = 0; i < BODIES; i++) {
    mass[i] = 1.0 / (i + 1);
    for (int k = 0; k < 3; k++) {
      position[i][k] = i * 1.7 + k * 0.3 * i;
      velocity[i][k] = 0.1 * (i - 2) * (k + 1);
    }
  }
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < 200; i++)
      advance(0.001);
    for (int i = 0; i < SIZE; i++)
      for (int j = 0; j < SIZE; j++) {
        a[i][j] = 1.0 / (i + j + 1 + round);
        b[i][j] = i * 0.5 - j;
        fa[i][j] = (float)a[i][j];
        fb[i][j] = (float)b[i][j];
      }
    multiply();
    multiply_single();
    result = result * 31 + (uint64_t)(int64_t)(c[3][5] * 1e6) + (uint64_t)(int64_t)(fc[7][1] * 1e3f);
    result += (uint64_t)mandelbrot(20);
    result ^= (uint64_t)(int64_t)(position[1][2] * 1e9);
  }
  return result;
}
