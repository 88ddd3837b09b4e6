# A guest of a few instructions, for RISC-V in S-mode: it says "ready", then sends back what comes in on COM1, and on
# some letters ends: Q powers off, R asks for a reset, C reports a failure, P panics the way Linux does.
        .option norvc
        .globl  _start
_start: j       main                    # The header of a RISC-V Linux Image.
        .word   0
        .quad   0x200000                # text_offset
        .quad   end - _start            # image_size
        .quad   0                       # flags
        .word   2                       # version 0.2
        .word   0
        .quad   0
        .ascii  "RISCV\0\0\0"
        .ascii  "RSC\5"
        .word   0

main:   li      s0, 0x3f8               # COM1
        la      s1, ready
        call    print
loop:   lbu     t0, 5(s0)               # line status: data ready?
        andi    t0, t0, 1
        beqz    t0, loop
        lbu     a0, 0(s0)
        li      t0, 'Q'
        beq     a0, t0, off
        li      t0, 'R'
        beq     a0, t0, reset
        li      t0, 'C'
        beq     a0, t0, fail
        li      t0, 'P'
        beq     a0, t0, panic
        call    put
        j       loop

off:    li      a0, 0                   # SBI system reset: shutdown
        li      a1, 0
        j       srst
panic:  la      s1, words
        call    print
reset:  li      a0, 1                   # cold reboot
        li      a1, 0
        j       srst
fail:   li      a0, 0
        li      a1, 1                   # because of a system failure
srst:   li      a6, 0
        li      a7, 0x53525354
        ecall
        j       srst

print:  mv      s2, ra                  # The text at s1.
1:      lbu     a0, 0(s1)
        beqz    a0, 2f
        call    put
        addi    s1, s1, 1
        j       1b
2:      jr      s2

put:    lbu     t0, 5(s0)               # line status: transmitter empty?
        andi    t0, t0, 0x20
        beqz    t0, put
        sb      a0, 0(s0)
        ret

ready:  .asciz  "ready\n"
words:  .asciz  "Kernel panic - not syncing: on request\n"
        .balign 8
end:
