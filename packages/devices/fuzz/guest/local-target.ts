import type { FuzzTarget } from '../../../../tools/fuzz/target.ts';
import { Guest, type VirtioDriver } from '../../test/support/guest.ts';
import { checkDevice, stopDevice, untilIdle } from './healthy-driver.ts';
import { Interpreter } from './interpreter.ts';
import { PLACES } from './layout.ts';
import { LocalMachine, Phase } from './machine.ts';
import type { DeviceProfile } from './profile.ts';
import { PROFILES, type ProfileName } from './profiles.ts';
import { decode, describeProgram, mutateProgram, Op, type Step } from './program.ts';
import { seedPrograms } from './seeds.ts';
import { WatchedMemory } from './watched-memory.ts';

/** Bit of a step's first field: the device is not served after it. */
const UNSERVED = 0x80;

/** A device that is driven on this thread by programs, which are what is fuzzed. */
export function localTarget(name: ProfileName): FuzzTarget {
  const profile: DeviceProfile = PROFILES[name];
  let watched: WatchedMemory | undefined;
  return {
    seeds: async () => seedPrograms(profile),
    mutate: (input, other, random) => mutateProgram(input, other, random, PLACES),
    describe: describeProgram,
    async exercise(bytes) {
      watched ??= new WatchedMemory();
      watched.clear();
      await using machine = await LocalMachine.open(name, watched);
      const guest = new Guest(machine.bus, watched.memory, machine.shared, machine.interrupts);
      const storm = new Storm(machine, watched, profile.mayDiscard ?? false);
      const interpreter = new Interpreter(guest, profile, machine.host);
      for (const step of decode(bytes)) await storm.take(step, interpreter);
      await checkDevice(machine, await storm.end(), profile);
      await machine.checkWitness();
    },
  };
}

/** One program's steps, after each of which memory is compared. */
class Storm {
  readonly #machine: LocalMachine;
  readonly #watched: WatchedMemory;
  readonly #mayDiscard: boolean;
  #wasReset = true;

  constructor(machine: LocalMachine, watched: WatchedMemory, mayDiscard: boolean) {
    this.#machine = machine;
    this.#watched = watched;
    this.#mayDiscard = mayDiscard;
  }

  async take(step: Step, interpreter: Interpreter): Promise<void> {
    const machine = this.#machine;
    // A vCPU that writes registers while the device resets waits until that is over.
    if (machine.phase() === Phase.resetting && !isMemoryOnly(step))
      await this.#watch(() => untilIdle(machine));
    interpreter.execute(step);
    if (step.op === Op.turn) {
      const times = (step.a & 7) + 1;
      await this.#watch(async () => {
        for (let time = 0; time < times; time++) await machine.turn();
      });
    } else if ((step.a & UNSERVED) === 0) {
      await this.#watch(async () => machine.serve());
    }
  }

  /** Resets the device. */
  async end(): Promise<VirtioDriver> {
    return await this.#watch(() => stopDevice(this.#machine, this.#watched.memory));
  }

  /** Has the device served: what it writes meanwhile, its queues must allow, or have allowed since the last reset. */
  async #watch<T>(serve: () => Promise<T>): Promise<T> {
    const watched = this.#watched;
    this.#machine.permit(watched);
    watched.remember();
    const result = await serve();
    watched.check(this.#mayDiscard);
    const isReset = this.#machine.phase() === Phase.idle;
    if (isReset && !this.#wasReset) watched.forbidAll();
    this.#wasReset = isReset;
    return result;
  }
}

/** Whether a step touches memory or the host only, which a reset under way does not hold up. */
function isMemoryOnly({ op }: Step): boolean {
  return (
    op === Op.turn || op === Op.descriptor || op === Op.tableEntry || op === Op.publish || op === Op.poke
  );
}
