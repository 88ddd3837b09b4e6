import type { InputDescription } from './model.ts';

/** Event types, and codes of each, as Linux numbers them (input-event-codes.h). */
export const EventType = {
  key: 1,
  relative: 2,
  absolute: 3,
  misc: 4,
  switch: 5,
  led: 0x11,
  repeat: 0x14,
} as const;

const Button = {
  left: 0x110,
  right: 0x111,
  middle: 0x112,
  toolFinger: 0x145,
  touch: 0x14a,
  toolDoubleTap: 0x14d,
  toolTripleTap: 0x14e,
  toolQuadTap: 0x14f,
} as const;
const Relative = { x: 0, y: 1, wheel: 8 } as const;
const Absolute = {
  x: 0,
  y: 1,
  pressure: 0x18,
  slot: 0x2f,
  touchMajor: 0x30,
  touchMinor: 0x31,
  positionX: 0x35,
  positionY: 0x36,
  toolType: 0x37,
  trackingId: 0x39,
  touchPressure: 0x3a,
} as const;
const Property = { pointer: 0, direct: 1, buttonPad: 2 } as const;

/** Of an English keyboard: the keys of the PC/AT's from Esc to the keypad's full stop have the codes 1 to 83. */
const KEYS: readonly number[] = [
  ...Array.from({ length: 83 }, (_, index) => index + 1),
  ...[87, 88, 96, 97, 98, 99, 100], // F11, F12, keypad Enter, right Ctrl, keypad /, SysRq, right Alt
  ...[102, 103, 104, 105, 106, 107, 108, 109, 110, 111], // Home to Delete
  ...[113, 114, 115, 116, 119, 139, 158, 172, 210], // volume, Power, Pause, Menu, Back, Home page, Print
];
/** SW_LID to SW_MACHINE_COVER. */
const SWITCHES: readonly number[] = Array.from({ length: 17 }, (_, index) => index);
const LEDS = [0, 1, 2];
const REPEAT = [0, 1];

/** How large what is touched is, in units of its own. */
export interface TouchArea {
  readonly width: number;
  readonly height: number;
}

/** Devices without a touch area. */
export const INPUT_KINDS = ['keyboard', 'mouse', 'rotary', 'switches'] as const;
/** Devices with one. */
export const TOUCH_KINDS = ['single-touch', 'multi-touch', 'trackpad', 'multi-touch-trackpad'] as const;
export type InputKind = (typeof INPUT_KINDS)[number];
export type TouchKind = (typeof TOUCH_KINDS)[number];

/** What a device of a kind has; the same as crosvm's. */
export function inputEvents(kind: InputKind): Omit<InputDescription, 'name' | 'serial'> {
  switch (kind) {
    case 'keyboard':
      return {
        events: [
          [EventType.key, KEYS],
          [EventType.repeat, REPEAT],
          [EventType.led, LEDS],
        ],
      };
    case 'mouse':
      return {
        events: [
          [EventType.key, [Button.left, Button.right, Button.middle]],
          [EventType.relative, Object.values(Relative)],
        ],
      };
    case 'rotary':
      return { events: [[EventType.relative, [Relative.wheel]]] };
    case 'switches':
      return { events: [[EventType.switch, SWITCHES]] };
  }
}

/** What a touch device of a kind and size has; the same as crosvm's. */
export function touchEvents(
  kind: TouchKind,
  { width, height }: TouchArea,
): Omit<InputDescription, 'name' | 'serial'> {
  const position: [number, number][] = [
    [Absolute.x, width],
    [Absolute.y, height],
  ];
  const touches = (trackingIds: number): [number, number][] => [
    [Absolute.slot, 10],
    [Absolute.trackingId, trackingIds],
    [Absolute.positionX, width],
    [Absolute.positionY, height],
  ];
  const finger = [Button.touch, Button.toolFinger];
  switch (kind) {
    case 'single-touch':
      return withAxes([Button.touch], position, [Property.direct]);
    case 'multi-touch':
      return withAxes([Button.touch], [...position, ...touches(10)], [Property.direct]);
    case 'trackpad':
      return withAxes([...finger, Button.left, Button.right], position, []);
    case 'multi-touch-trackpad': {
      const taps = [Button.toolDoubleTap, Button.toolTripleTap, Button.toolQuadTap];
      const shape: [number, number][] = [
        [Absolute.touchPressure, 255],
        [Absolute.pressure, 255],
        [Absolute.touchMajor, 4095],
        [Absolute.touchMinor, 4095],
        [Absolute.toolType, 2],
      ];
      return withAxes(
        [...finger, ...taps, Button.left],
        [...position, ...touches(65_536), ...shape],
        [Property.pointer, Property.buttonPad],
      );
    }
  }
}

/** @param axes code and greatest value of each, from 0 */
function withAxes(
  buttons: readonly number[],
  axes: readonly (readonly [code: number, max: number])[],
  properties: readonly number[],
): Omit<InputDescription, 'name' | 'serial'> {
  return {
    properties,
    events: [
      [EventType.key, buttons],
      [EventType.absolute, axes.map(([code]) => code)],
    ],
    axes: axes.map(([code, max]) => ({ code, min: 0, max })),
  };
}
