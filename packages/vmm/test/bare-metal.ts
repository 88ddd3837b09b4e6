/** Bytes of a raw riscv64 Image (Linux, Documentation/arch/riscv/boot-image-header.rst) with the words as its code. */
export function riscv64Image(words: readonly number[]): Uint8Array {
  const headerSize = 64;
  const image = new DataView(new ArrayBuffer(headerSize + words.length * 4));
  const jumpOverHeader = 0x0400_006f; // jal zero, 64
  image.setUint32(0, jumpOverHeader, true);
  image.setBigUint64(8, 0x20_0000n, true); // text_offset
  image.setBigUint64(16, BigInt(image.byteLength), true); // image_size
  image.setUint32(32, 2, true); // version 0.2
  image.setUint32(48, 0x5643_5349, true); // "RISCV", the obsolete magic
  image.setUint32(52, 0x56, true);
  image.setUint32(56, 0x0543_5352, true); // "RSC\x05"
  words.forEach((word, index) => {
    image.setInt32(headerSize + index * 4, word, true);
  });
  return new Uint8Array(image.buffer);
}
