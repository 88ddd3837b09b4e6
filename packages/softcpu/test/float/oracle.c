/*
 * Executes floating-point instructions on operands from standard input and writes what they did to standard output.
 *
 * Input: blocks of a header (struct block) and its records of three doublewords. The first is in ft0 and t1, the second in
 * ft1, the third in ft2, raw. Output: for every record the result, raw, and the flags, or 0x100 if the instruction is illegal.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
  char operation[16];
  uint32_t frm;
  uint32_t count;
};

typedef void execute_fn(const uint64_t *operands, uint64_t *result);

#define EXECUTE(name, instruction, store)                                                     \
  static void name(const uint64_t *operands, uint64_t *result) {                              \
    __asm__ volatile("fld ft0, 0(%0)\n fld ft1, 8(%0)\n fld ft2, 16(%0)\n ld t1, 0(%0)\n"     \
                     "fsflags x0\n" instruction "\n frflags t2\n" store "\n sd t2, 8(%1)\n"   \
                     :                                                                        \
                     : "r"(operands), "r"(result)                                             \
                     : "t0", "t1", "t2", "ft0", "ft1", "ft2", "ft3", "memory");               \
  }
#define TO_F(name, instruction) EXECUTE(name, instruction, "fsd ft3, 0(%1)")
#define TO_X(name, instruction) EXECUTE(name, instruction, "sd t0, 0(%1)")

#define FORMAT(s)                                                   \
  TO_F(fadd_##s, "fadd." #s " ft3, ft0, ft1, dyn")                  \
  TO_F(fsub_##s, "fsub." #s " ft3, ft0, ft1, dyn")                  \
  TO_F(fmul_##s, "fmul." #s " ft3, ft0, ft1, dyn")                  \
  TO_F(fdiv_##s, "fdiv." #s " ft3, ft0, ft1, dyn")                  \
  TO_F(fsqrt_##s, "fsqrt." #s " ft3, ft0, dyn")                     \
  TO_F(fmadd_##s, "fmadd." #s " ft3, ft0, ft1, ft2, dyn")           \
  TO_F(fmsub_##s, "fmsub." #s " ft3, ft0, ft1, ft2, dyn")           \
  TO_F(fnmsub_##s, "fnmsub." #s " ft3, ft0, ft1, ft2, dyn")         \
  TO_F(fnmadd_##s, "fnmadd." #s " ft3, ft0, ft1, ft2, dyn")         \
  TO_F(fmin_##s, "fmin." #s " ft3, ft0, ft1")                       \
  TO_F(fmax_##s, "fmax." #s " ft3, ft0, ft1")                       \
  TO_F(fsgnj_##s, "fsgnj." #s " ft3, ft0, ft1")                     \
  TO_F(fsgnjn_##s, "fsgnjn." #s " ft3, ft0, ft1")                   \
  TO_F(fsgnjx_##s, "fsgnjx." #s " ft3, ft0, ft1")                   \
  TO_X(feq_##s, "feq." #s " t0, ft0, ft1")                          \
  TO_X(flt_##s, "flt." #s " t0, ft0, ft1")                          \
  TO_X(fle_##s, "fle." #s " t0, ft0, ft1")                          \
  TO_X(fclass_##s, "fclass." #s " t0, ft0")                         \
  TO_X(fcvt_w_##s, "fcvt.w." #s " t0, ft0, dyn")                    \
  TO_X(fcvt_wu_##s, "fcvt.wu." #s " t0, ft0, dyn")                  \
  TO_X(fcvt_l_##s, "fcvt.l." #s " t0, ft0, dyn")                    \
  TO_X(fcvt_lu_##s, "fcvt.lu." #s " t0, ft0, dyn")                  \
  TO_F(fcvt_##s##_l, "fcvt." #s ".l ft3, t1, dyn")                  \
  TO_F(fcvt_##s##_lu, "fcvt." #s ".lu ft3, t1, dyn")

/* The assembler has no rounding mode for exact conversions: funct7, rs2 and rm (7, dynamic) are spelled out. */
#define FCVT(funct7, rs2, source) ".insn r 0x53, 7, " #funct7 ", ft3, " source ", " #rs2

FORMAT(s)
FORMAT(d)
TO_F(fcvt_s_w, "fcvt.s.w ft3, t1, dyn")
TO_F(fcvt_s_wu, "fcvt.s.wu ft3, t1, dyn")
TO_F(fcvt_d_w, FCVT(0x69, x0, "t1"))
TO_F(fcvt_d_wu, FCVT(0x69, x1, "t1"))
TO_F(fcvt_s_d, "fcvt.s.d ft3, ft0, dyn")
TO_F(fcvt_d_s, FCVT(0x21, x0, "ft0"))
TO_X(fmv_x_w, "fmv.x.w t0, ft0")
TO_F(fmv_w_x, "fmv.w.x ft3, t1")
TO_X(fmv_x_d, "fmv.x.d t0, ft0")
TO_F(fmv_d_x, "fmv.d.x ft3, t1")

#define ENTRY(name) {#name, name},
#define ENTRIES(s)                                                                                     \
  ENTRY(fadd_##s) ENTRY(fsub_##s) ENTRY(fmul_##s) ENTRY(fdiv_##s) ENTRY(fsqrt_##s) ENTRY(fmadd_##s)    \
  ENTRY(fmsub_##s) ENTRY(fnmsub_##s) ENTRY(fnmadd_##s) ENTRY(fmin_##s) ENTRY(fmax_##s)                 \
  ENTRY(fsgnj_##s) ENTRY(fsgnjn_##s) ENTRY(fsgnjx_##s) ENTRY(feq_##s) ENTRY(flt_##s) ENTRY(fle_##s)    \
  ENTRY(fclass_##s) ENTRY(fcvt_w_##s) ENTRY(fcvt_wu_##s) ENTRY(fcvt_l_##s) ENTRY(fcvt_lu_##s)          \
  ENTRY(fcvt_##s##_l) ENTRY(fcvt_##s##_lu)

static const struct {
  const char *name;
  execute_fn *execute;
} operations[] = {
    ENTRIES(s) ENTRIES(d) ENTRY(fcvt_s_w) ENTRY(fcvt_s_wu) ENTRY(fcvt_d_w) ENTRY(fcvt_d_wu)
    ENTRY(fcvt_s_d) ENTRY(fcvt_d_s) ENTRY(fmv_x_w) ENTRY(fmv_w_x) ENTRY(fmv_x_d) ENTRY(fmv_d_x)};

static sigjmp_buf illegal;

static void on_illegal(int signal) {
  siglongjmp(illegal, signal);
}

static execute_fn *find(const char *name) {
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    if (strcmp(operations[i].name, name) == 0) {
      return operations[i].execute;
    }
  }
  fprintf(stderr, "no operation %s\n", name);
  exit(1);
}

static void read_all(void *to, size_t size) {
  if (fread(to, 1, size, stdin) != size) {
    fprintf(stderr, "input ends within a block\n");
    exit(1);
  }
}

int main(void) {
  struct block block;
  signal(SIGILL, on_illegal);
  while (fread(&block, 1, sizeof block, stdin) == sizeof block) {
    execute_fn *execute = find(block.operation);
    uint64_t *operands = malloc(24 * (size_t)block.count);
    uint64_t *results = malloc(16 * (size_t)block.count);
    read_all(operands, 24 * (size_t)block.count);
    if (sigsetjmp(illegal, 1) == 0) {
      __asm__ volatile("fsrm %0" : : "r"(block.frm));
      for (uint32_t i = 0; i < block.count; i++) {
        execute(operands + 3 * i, results + 2 * i);
      }
    } else {
      for (uint32_t i = 0; i < block.count; i++) {
        results[2 * i] = 0;
        results[2 * i + 1] = 0x100;
      }
    }
    __asm__ volatile("fsrm x0");
    fwrite(results, 16, block.count, stdout);
    free(operands);
    free(results);
  }
  return 0;
}
