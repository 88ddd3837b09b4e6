import { FdtError } from './errors.ts';
import { MAX_DEPTH } from './format.ts';
import { decodeStrings, decodeU32, decodeU64, encodeStrings, encodeU32, encodeU64 } from './values.ts';

/** Section 2.2.1: at most 31 characters before the unit address; it and the name are of one alphabet. */
const NODE_NAME = /^[A-Za-z][0-9A-Za-z,._+-]{0,30}(?:@[0-9A-Za-z,._+-]+)?$/;
/** Section 2.2.4: at most 31 characters. */
const PROPERTY_NAME = /^[0-9A-Za-z,._+?#-]{1,31}$/;

/** Memory that the operating system must leave alone: section 5.3. Both are in bytes, of 64 bits. */
export interface Reservation {
  readonly address: number | bigint;
  readonly size: number | bigint;
}

/** A devicetree: its nodes, and what its flattened form has besides. */
export class DeviceTree {
  readonly root: FdtNode;
  /** Memory reservations, unless {@link toBytes} is given others. */
  reservations: readonly Reservation[] = [];
  /** Hardware id of the boot CPU, unless {@link toBytes} is given another. */
  bootCpuId = 0;
  #lastPhandle = 0;

  constructor() {
    this.root = new FdtNode(this, '', null);
  }

  /** A phandle that no node of the tree has. */
  allocatePhandle(): number {
    return ++this.#lastPhandle;
  }

  /** Keeps {@link allocatePhandle} from giving out a phandle that is in use. */
  usePhandle(phandle: number): void {
    // 0 and 0xffffffff mean that there is none.
    if (phandle !== 0xffff_ffff) this.#lastPhandle = Math.max(this.#lastPhandle, phandle);
  }

  /** The node at an absolute path such as `/soc/serial@10000000`. */
  find(path: string): FdtNode | undefined {
    const names = path.split('/').filter((name) => name !== '');
    return names.reduce<FdtNode | undefined>((node, name) => node?.children.get(name), this.root);
  }
}

/** A node of a {@link DeviceTree}. The methods that set a property replace the one of that name, and return the node. */
export class FdtNode {
  readonly tree: DeviceTree;
  /** Name with unit address; empty for the root. */
  readonly name: string;
  readonly parent: FdtNode | null;
  readonly #depth: number;
  readonly #properties = new Map<string, Uint8Array>();
  readonly #children = new Map<string, FdtNode>();

  /** Nodes are made by {@link DeviceTree} and {@link node}. */
  constructor(tree: DeviceTree, name: string, parent: FdtNode | null) {
    this.tree = tree;
    this.name = name;
    this.parent = parent;
    this.#depth = parent === null ? 0 : parent.#depth + 1;
    if (this.#depth > MAX_DEPTH) {
      throw new FdtError('TOO_DEEP', `Linux reads at most ${MAX_DEPTH} levels of nodes.`);
    }
  }

  /** Values by name, as they are written down. */
  get properties(): ReadonlyMap<string, Uint8Array> {
    return this.#properties;
  }

  get children(): ReadonlyMap<string, FdtNode> {
    return this.#children;
  }

  /** Absolute path, as in `/chosen`'s `stdout-path`. */
  get path(): string {
    if (this.parent === null) return '/';
    return this.parent.parent === null ? `/${this.name}` : `${this.parent.path}/${this.name}`;
  }

  /**
   * A new node below this one.
   * @throws FdtError BAD_NAME (section 2.2.1), DUPLICATE, TOO_DEEP
   */
  node(name: string): FdtNode {
    if (!NODE_NAME.test(name)) {
      const message = `${JSON.stringify(name)} is no node name: a letter, up to 31 letters, digits and ,._+- in all, then perhaps @ and a unit address.`;
      throw new FdtError('BAD_NAME', message);
    }
    return this.add(name);
  }

  /** {@link node} under a name that the specification may not allow, as trees that are read have. */
  add(name: string): FdtNode {
    if (this.#children.has(name))
      throw new FdtError('DUPLICATE', `${this.path} has a node '${name}' already.`);
    const child = new FdtNode(this.tree, name, this);
    this.#children.set(name, child);
    return child;
  }

  /** A property without a value, whose presence says it all. */
  empty(name: string): this {
    return this.bytes(name, new Uint8Array());
  }

  /** One or more cells of 32 bits. */
  u32(name: string, ...values: number[]): this {
    return this.bytes(name, encodeU32(values, this.#where(name)));
  }

  /** One or more values of 64 bits, each two cells. */
  u64(name: string, ...values: (number | bigint)[]): this {
    return this.bytes(name, encodeU64(values, this.#where(name)));
  }

  /** A string, or a list of strings. */
  string(name: string, ...values: string[]): this {
    return this.bytes(name, encodeStrings(values, this.#where(name)));
  }

  /** Cells, in which a node stands for its phandle: `cells('interrupts-extended', cpu, 9, plic, 1)`. */
  cells(name: string, ...values: (number | FdtNode)[]): this {
    const cells = values.map((value) => {
      if (typeof value === 'number') return value;
      if (value.tree === this.tree) return value.phandle;
      throw new FdtError('BAD_VALUE', `${this.#where(name)}: ${value.path} is a node of another tree.`);
    });
    return this.u32(name, ...cells);
  }

  /** @throws FdtError BAD_NAME (section 2.2.4) */
  bytes(name: string, value: Uint8Array): this {
    if (!PROPERTY_NAME.test(name)) {
      const message = `${JSON.stringify(name)} is no property name: 1 to 31 letters, digits and ,._+?#-.`;
      throw new FdtError('BAD_NAME', message);
    }
    return this.set(name, value);
  }

  /** {@link bytes} under a name that the specification may not allow. */
  set(name: string, value: Uint8Array): this {
    // Not slice(): a Buffer's does not copy.
    this.#properties.set(name, new Uint8Array(value));
    if (name === 'phandle' && value.length === 4) this.tree.usePhandle(decodeU32(value, name)[0] ?? 0);
    return this;
  }

  /** Removes the property or, failing that, the node of that name; says whether there was one. */
  remove(name: string): boolean {
    return this.#properties.delete(name) || this.#children.delete(name);
  }

  /** What other nodes refer to this one by: its `phandle`, which is given to it when first asked for. */
  get phandle(): number {
    const [phandle] = this.getU32s('phandle') ?? [];
    if (phandle !== undefined) return phandle;
    const allocated = this.tree.allocatePhandle();
    this.u32('phandle', allocated);
    return allocated;
  }

  /** The cells of a property. @throws FdtError BAD_VALUE when its length is no multiple of four */
  getU32s(name: string): number[] | undefined {
    const value = this.#properties.get(name);
    return value && decodeU32(value, this.#where(name));
  }

  /** The 64-bit values of a property. @throws FdtError BAD_VALUE when its length is no multiple of eight */
  getU64s(name: string): bigint[] | undefined {
    const value = this.#properties.get(name);
    return value && decodeU64(value, this.#where(name));
  }

  /** The strings of a property. @throws FdtError BAD_VALUE when it does not end in a NUL */
  getStrings(name: string): string[] | undefined {
    const value = this.#properties.get(name);
    return value && decodeStrings(value, this.#where(name));
  }

  #where(name: string): string {
    return `${this.path}: ${name}`;
  }
}
