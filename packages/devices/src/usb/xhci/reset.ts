import { Status } from './constants.ts';
import { resetPorts } from './ports.ts';
import type { XhciState } from './state.ts';

/** Brings registers to what they are after a reset; what is plugged in stays so. */
export function resetRegisters(state: XhciState): void {
  state.command = 0;
  state.status = Status.halted;
  state.notifications = 0;
  state.commandRingLow = state.commandRingHigh = 0;
  state.contextsLow = state.contextsHigh = 0;
  state.configure = 0;
  state.management = 0;
  // The specification's default: 4,000 interrupts a second.
  state.moderation = 4000;
  state.eventSegments = 0;
  state.eventTableLow = state.eventTableHigh = 0;
  state.eventDequeueLow = state.eventDequeueHigh = 0;
  state.eventEnqueue = 0;
  state.eventsWait = 0;
  state.requests = 0;
  state.doorbells.fill(0);
  resetPorts(state);
}
