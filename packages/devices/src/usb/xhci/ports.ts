import { PORTS, type SpeedId, Status, USB2_PORTS } from './constants.ts';
import type { XhciState } from './state.ts';

/** PORTSC (section 5.4.8). */
const CONNECTED = 1 << 0;
const ENABLED = 1 << 1;
const RESET = 1 << 4;
const LINK_STATE_SHIFT = 5;
const LINK_STATE = 0xf << LINK_STATE_SHIFT;
const POWER = 1 << 9;
const SPEED_SHIFT = 10;
const SPEED = 0xf << SPEED_SHIFT;
const INDICATOR = 3 << 14;
const LINK_STATE_WRITE_STROBE = 1 << 16;
const CONNECT_CHANGE = 1 << 17;
const WARM_RESET_CHANGE = 1 << 19;
const RESET_CHANGE = 1 << 21;
const LINK_STATE_CHANGE = 1 << 22;
const WAKE_ENABLES = 7 << 25;
const WARM_RESET = 1 << 31;
/** All that is cleared by writing ones. */
const CHANGES = 0x7f << 17;

/** Port link states. */
const U0 = 0;
const U3 = 3;
const DISABLED = 4;
const RX_DETECT = 5;
const POLLING = 7;
const RESUME = 15;

/** The index of the first port of a protocol, and of the one after its last. */
export function portsFor(speed: keyof typeof SpeedId): readonly [first: number, end: number] {
  return speed === 'super' ? [USB2_PORTS, PORTS] : [0, USB2_PORTS];
}

const isSuperSpeed = (port: number): boolean => port >= USB2_PORTS;

/** Brings all ports to what they are after a reset of the controller. */
export function resetPorts(state: XhciState): void {
  state.changedPorts = 0;
  state.resetPorts = 0;
  for (let port = 0; port < PORTS; port++) {
    state.ports[port] = POWER | (RX_DETECT << LINK_STATE_SHIFT);
    if (state.attached[port] !== 0) connect(state, port);
  }
}

/** Whether what is plugged in can be talked to. */
export function isEnabled(state: XhciState, port: number): boolean {
  return ((state.ports[port] ?? 0) & ENABLED) !== 0;
}

/** The guest writes PORTSC. @returns whether the controller has something to do */
export function writePort(state: XhciState, port: number, value: number): boolean {
  const before = state.ports[port] ?? 0;
  let after = before & ~(value & CHANGES) & ~(INDICATOR | WAKE_ENABLES);
  after |= value & (INDICATOR | WAKE_ENABLES);
  if ((value & ENABLED) !== 0 && (before & ENABLED) !== 0) {
    after = withLink(after & ~ENABLED, isSuperSpeed(port) ? DISABLED : POLLING);
  }
  state.ports[port] = after;
  const isWarm = (value & WARM_RESET) !== 0 && isSuperSpeed(port);
  if ((value & RESET) !== 0 || isWarm) return resetPort(state, port, isWarm);
  if ((value & LINK_STATE_WRITE_STROBE) !== 0) {
    return setLinkState(state, port, (value & LINK_STATE) >>> LINK_STATE_SHIFT);
  }
  return false;
}

/** What was plugged in shows up; links of USB 3.0 train by themselves (figure 4-27), others wait for a reset (figure 4-26). */
function connect(state: XhciState, port: number): boolean {
  const speed = state.attached[port] ?? 0;
  const before = (state.ports[port] ?? 0) & ~(SPEED | ENABLED);
  const connected = before | CONNECTED | (speed << SPEED_SHIFT);
  state.ports[port] = isSuperSpeed(port) ? withLink(connected | ENABLED, U0) : withLink(connected, POLLING);
  return change(state, port, CONNECT_CHANGE);
}

/** It takes no time: the driver finds it done. */
function resetPort(state: XhciState, port: number, isWarm: boolean): boolean {
  const before = state.ports[port] ?? 0;
  if ((before & CONNECTED) !== 0) {
    state.ports[port] = withLink(before | ENABLED, U0);
    state.resetPorts |= 1 << port;
  }
  return change(state, port, isWarm ? RESET_CHANGE | WARM_RESET_CHANGE : RESET_CHANGE);
}

function setLinkState(state: XhciState, port: number, link: number): boolean {
  const before = state.ports[port] ?? 0;
  const current = (before & LINK_STATE) >>> LINK_STATE_SHIFT;
  if (isSuperSpeed(port) && link === DISABLED) {
    state.ports[port] = withLink(before & ~(ENABLED | CONNECTED), DISABLED);
    return false;
  }
  if (isSuperSpeed(port) && link === RX_DETECT) {
    state.ports[port] = withLink(before, RX_DETECT);
    return state.attached[port] !== 0 && connect(state, port);
  }
  if ((before & ENABLED) === 0) return false;
  if (link === U0 && current !== U0) {
    state.ports[port] = withLink(before, U0);
    return change(state, port, LINK_STATE_CHANGE);
  }
  if (link === U3 || (link === RESUME && current === U3)) state.ports[port] = withLink(before, link);
  return false;
}

/** An event is due when the first change shows up, and not again until all are cleared (section 4.19.2). */
function change(state: XhciState, port: number, changes: number): boolean {
  const before = state.ports[port] ?? 0;
  state.ports[port] = before | changes;
  state.status |= Status.portChange;
  if ((before & CHANGES) !== 0) return state.resetPorts !== 0;
  state.changedPorts |= 1 << port;
  return true;
}

const withLink = (register: number, link: number): number =>
  (register & ~LINK_STATE) | (link << LINK_STATE_SHIFT);
