/* What bench/exits.ts is compared with: the smallest loop around KVM_RUN that handles exits.
 *
 *     exits-peer COUNT CODE       CODE: hexadecimal bytes for address 0x1000, real mode
 *
 * prints the microseconds that one exit takes. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static int check(int result, const char *what) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
  return result;
}

static double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const long count = atol(argv[1]);
  const int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  const int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  check(ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000), "KVM_SET_TSS_ADDR");
  check(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
  unsigned char *memory = mmap(0, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < strlen(argv[2]) / 2; i++) {
    unsigned byte;
    if (sscanf(argv[2] + 2 * i, "%2x", &byte) != 1) return 2;
    memory[0x1000 + i] = byte;
  }
  struct kvm_userspace_memory_region region = {.memory_size = 0x10000, .userspace_addr = (unsigned long)memory};
  check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  const int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  const int size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
  sregs.cs.base = sregs.cs.selector = 0;
  check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
  struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
  check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");

  unsigned long sum = 0;
  const double start = microseconds();
  for (long left = count; left > 0; left--) {
    check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    unsigned char *data;
    int is_write;
    if (run->exit_reason == KVM_EXIT_IO) {
      data = (unsigned char *)run + run->io.data_offset;
      is_write = run->io.direction == KVM_EXIT_IO_OUT;
    } else if (run->exit_reason == KVM_EXIT_MMIO) {
      data = run->mmio.data;
      is_write = run->mmio.is_write;
    } else {
      fprintf(stderr, "exit %u\n", run->exit_reason);
      return 1;
    }
    if (is_write) sum += *data;
    else *data = (unsigned char)left;
  }
  const double end = microseconds();
  printf("%f\n", (end - start) / count);
  fprintf(stderr, sum == ~0UL ? " " : "");
  return 0;
}
