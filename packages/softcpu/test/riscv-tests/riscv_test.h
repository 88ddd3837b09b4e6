/* The environment of the riscv-tests suites on a machine without M-mode. Tests start in S-mode, or, with VIRTUAL, in U-mode
 * behind Sv39 tables of 4 KiB pages whose A and D bits are clear. The result goes to the exit register: 1 passed, otherwise
 * twice the failed test's number plus 1. */

#ifndef RISCV_TEST_H
#define RISCV_TEST_H

#include "encoding.h"

#define TESTNUM gp
#define DRAM_BASE 0x80000000
#define EXIT_REGISTER 0x100000

#define RVTEST_RV64U .macro init; .endm
#define RVTEST_RV64UF .macro init; li t0, SSTATUS_FS; csrs sstatus, t0; .endm
#define RVTEST_RV64S .macro init; .endm

#ifdef VIRTUAL

/* Pages of tests: 4 KiB each from 0x80200000 on, 2 MiB in all; the environment below is one superpage for S-mode. */
#define ENTER                                                  \
  la t0, page_tables;                                          \
  srli t1, t0, 12;                                             \
  li t2, SATP_MODE_SV39;                                       \
  slli t2, t2, 60;                                             \
  or t6, t1, t2;                                               \
  /* Root entry 2 points to the second table. */               \
  li t2, 0x1000;                                               \
  add t1, t0, t2;                                              \
  srli t3, t1, 12;                                             \
  slli t3, t3, 10;                                             \
  ori t3, t3, PTE_V;                                           \
  sd t3, 16(t0);                                               \
  /* Its entry 0 is the environment, its entry 1 the tests' table. */ \
  li t3, (DRAM_BASE >> 2) | PTE_V | PTE_R | PTE_W | PTE_X;     \
  sd t3, 0(t1);                                                \
  add t4, t1, t2;                                              \
  srli t3, t4, 12;                                             \
  slli t3, t3, 10;                                             \
  ori t3, t3, PTE_V;                                           \
  sd t3, 8(t1);                                                \
  li t3, (0x80200000 >> 2) | PTE_V | PTE_R | PTE_W | PTE_X | PTE_U; \
  li t5, 512;                                                  \
1: sd t3, 0(t4);                                               \
  addi t3, t3, 1 << 10;                                        \
  addi t4, t4, 8;                                              \
  addi t5, t5, -1;                                             \
  bnez t5, 1b;                                                 \
  /* Root entry 0: the exit register. */                       \
  li t3, PTE_V | PTE_R | PTE_W | PTE_A | PTE_D;                \
  sd t3, 0(t0);                                                \
  csrw satp, t6;                                               \
  sfence.vma;                                                  \
  /* The environment's constants may be on the tests' pages. */  \
  li t0, SSTATUS_SUM;                                          \
  csrs sstatus, t0;                                            \
  li t0, SSTATUS_SPP;                                          \
  csrc sstatus, t0;

#define PAGE_TABLES                                            \
  .pushsection .text.init;                                     \
  .align 12;                                                   \
page_tables: .fill 3 * 512, 8, 0;                              \
  .popsection;

#define RESULT li a7, 93; mv a0, TESTNUM; ecall

#else

#define ENTER li t0, SSTATUS_SPP; csrs sstatus, t0;
#define PAGE_TABLES
#define RESULT la t0, write_result; jr t0

#endif

#define RVTEST_CODE_BEGIN                                      \
  .section .text.init;                                         \
  .globl _start;                                               \
_start:                                                        \
  la t0, trap_vector;                                          \
  csrw stvec, t0;                                              \
  ENTER                                                        \
  li TESTNUM, 0;                                               \
  init;                                                        \
  la t0, test_begin;                                           \
  csrw sepc, t0;                                               \
  sret;                                                        \
  .align 2;                                                    \
trap_vector:                                                   \
  csrr t5, scause;                                             \
  li t6, CAUSE_USER_ECALL;                                     \
  bne t5, t6, 1f;                                              \
  li t6, 93;                                                   \
  beq a7, t6, write_result;                                    \
1: .weak stvec_handler;                                        \
  la t6, stvec_handler;                                        \
  beqz t6, unexpected_trap;                                    \
  jr t6;                                                       \
unexpected_trap:                                               \
  ori TESTNUM, TESTNUM, 1337;                                  \
  slli TESTNUM, TESTNUM, 1;                                    \
  ori TESTNUM, TESTNUM, 1;                                     \
write_result:                                                  \
  li t6, EXIT_REGISTER;                                        \
  sw TESTNUM, 0(t6);                                           \
1: j 1b;                                                       \
  PAGE_TABLES                                                  \
  .text;                                                       \
test_begin:

#define RVTEST_CODE_END unimp

#define RVTEST_PASS fence; li TESTNUM, 1; RESULT
#define RVTEST_FAIL fence; slli TESTNUM, TESTNUM, 1; ori TESTNUM, TESTNUM, 1; RESULT

#define EXTRA_DATA
#define RVTEST_DATA_BEGIN .align 4; .global begin_signature; begin_signature:
#define RVTEST_DATA_END .align 4; .global end_signature; end_signature:

#endif
