# Runs kernel() in S- or M-mode and reports its result through the SiFive test device: exit status of the machine.
.section .text.start
.globl _start
_start:
  li t0, 1 << 13
  csrs sstatus, t0
  la sp, stack_top
  call kernel
  srli t0, a0, 32
  xor a0, a0, t0
  srli t0, a0, 16
  xor a0, a0, t0
  andi a0, a0, 0x7f
  slli a0, a0, 16
  li t0, 0x3333
  or a0, a0, t0
  li t1, 0x100000
  sw a0, 0(t1)
1:
  j 1b
