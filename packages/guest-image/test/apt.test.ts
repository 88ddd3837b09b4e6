import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parsePackage } from '../src/apt.ts';
import { GuestImageError } from '../src/errors.ts';

test('reads what apt-cache show prints', () => {
  const stanza = `Package: linux-image-6.12.48+deb13-riscv64
Source: linux
Version: 6.12.48-1
Installed-Size: 136024
Architecture: riscv64
Depends: kmod, linux-base (>= 4.12~), initramfs-tools (>= 0.120+deb11u2~) | linux-initramfs-tool
Description: Linux 6.12 for 64-bit RISC-V platforms
 with: a continued line
Size: 111000000

Package: other
Version: 2
`;
  expect(parsePackage(stanza)).toEqual({
    name: 'linux-image-6.12.48+deb13-riscv64',
    version: '6.12.48-1',
    size: 111_000_000,
    installedSize: 136_024 * 1024,
    depends: ['kmod', 'linux-base', 'initramfs-tools'],
  });
});

test('a package without a version is refused', () => {
  expect(() => parsePackage('Package: a\nSize: 1\n')).toThrow(/without a Version/);
});

test('any text is read or refused', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      try {
        parsePackage(`Package: a\nVersion: 1\nSize: 1\n${text}`);
        parsePackage(text);
      } catch (error) {
        expect(error).toBeInstanceOf(GuestImageError);
      }
    }),
  );
});
