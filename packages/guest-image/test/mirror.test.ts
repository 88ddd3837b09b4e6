import { writeFileSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { debianMirrors, findDebianMirrors } from '../src/mirror.ts';
import { TemporaryDirectory } from './support/temporary.ts';

afterEach(() => vi.unstubAllEnvs());

/** What we find when the host's apt has this one source file. */
async function mirrorsOf(fileName: string, source: string): Promise<string[]> {
  using directory = new TemporaryDirectory();
  writeFileSync(directory.join(fileName), source);
  const configuration = [
    'Dir::Etc::sourcelist "/dev/null";',
    `Dir::Etc::sourceparts "${directory.path}";`,
    `Dir::State::lists "${directory.join('lists')}";`,
    'Dir::Cache::pkgcache "";',
  ];
  writeFileSync(directory.join('apt.conf'), configuration.join('\n'));
  vi.stubEnv('APT_CONFIG', directory.join('apt.conf'));
  return await findDebianMirrors();
}

test('a one-line source is found, its security archive and what is commented out are not', async () => {
  const source = `
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://ftp.de.debian.org/debian/ bookworm main contrib
deb http://security.debian.org/debian-security bookworm-security main
# deb http://ftp.fr.debian.org/debian bookworm main
deb-src http://ftp.es.debian.org/debian bookworm main
`;
  expect(await mirrorsOf('debian.list', source)).toEqual(['http://ftp.de.debian.org/debian']);
});

test('a deb822 source is found, a disabled one is not', async () => {
  const source = `
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main

Types: deb
URIs: http://disabled.example/debian
Suites: trixie
Components: main
Enabled: no
`;
  expect(await mirrorsOf('debian.sources', source)).toEqual(['http://mirror.example/debian']);
});

test('a host of another distribution has no mirror, and is told what to do', async () => {
  await expect(
    mirrorsOf('ubuntu.list', 'deb http://archive.ubuntu.com/ubuntu noble main\n'),
  ).rejects.toMatchObject({
    code: 'NO_DEBIAN_MIRROR',
    message: expect.stringContaining('tsvmm run --initrd INITRD KERNEL'),
  });
});

test("Debian's own hosts come before third parties' folders, other components do not come", () => {
  const targets = `https://pkgs.example/stable/debian/|bookworm|main
https://download.example/linux/debian/|bookworm|stable
http://ftp.debian.org/debian/|bookworm|main
http://ftp.debian.org/debian/|bookworm-updates|main
cdrom:[Debian GNU/Linux]/debian/|bookworm|main
http://notdebian.org/debianish/|bookworm|main
`;
  expect(debianMirrors(targets)).toEqual([
    'http://ftp.debian.org/debian',
    'https://pkgs.example/stable/debian',
  ]);
});
