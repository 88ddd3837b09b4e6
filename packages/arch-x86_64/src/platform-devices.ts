import type { BoardOptions, PlatformDevices } from '@tsvmm/arch';
import {
  ACPI_PM_LENGTH,
  attachAcpiPm,
  attachCmosRtc,
  attachI8254,
  type BusEntry,
  CMOS_RTC_LENGTH,
  CMOS_RTC_PORT,
  DeviceClock,
  type DeviceEnvironment,
  describeAcpiPm,
  describeCmosRtc,
  describeFwCfg,
  describeI8254,
  FW_CFG_LENGTH,
  FW_CFG_PORT,
  I8042_LENGTH,
  I8042_PORT,
  I8254_LENGTH,
  I8254_PORT,
  SYSTEM_CONTROL_LENGTH,
  SYSTEM_CONTROL_PORT,
} from '@tsvmm/devices';
import { POWER_MANAGEMENT_PORT, RTC_SOURCE, SCI_SOURCE, TIMER_SOURCE } from './layout.ts';

/** What of it a machine is to have. */
export interface PlatformDevicesOptions extends Pick<BoardOptions, 'platform' | 'fwCfgFiles'> {
  /** Bytes of RAM below 4 GiB from 0 on, and from 4 GiB on. */
  readonly memory: { readonly low: number; readonly high: number };
  /** Whether the interval timer is here. */
  readonly timer: boolean;
}

/** What a PC has besides PCI: power management, the clock, the timer, and the keyboard controller's reset. */
export function platformDevices(
  environment: DeviceEnvironment,
  onFailure: (error: unknown) => void,
  options: PlatformDevicesOptions,
): PlatformDevices {
  using cleanup = new DisposableStack();
  const { platform = {}, fwCfgFiles: files } = options;
  const powerManagement = describeAcpiPm({ interrupt: SCI_SOURCE });
  const buttons = attachAcpiPm(powerManagement, environment);
  const pio: BusEntry[] = [{ start: POWER_MANAGEMENT_PORT, length: ACPI_PM_LENGTH, device: powerManagement }];
  if (platform.i8042 !== false) {
    pio.push({ start: I8042_PORT, length: I8042_LENGTH, device: { kind: 'i8042' } });
  }
  if (platform.rtc !== false) {
    const rtc = describeCmosRtc({ interrupt: RTC_SOURCE, memory: options.memory, powerManagement });
    pio.push({ start: CMOS_RTC_PORT, length: CMOS_RTC_LENGTH, device: rtc });
    cleanup.use(new DeviceClock(attachCmosRtc(rtc, environment), onFailure));
  }
  if (files !== undefined) {
    const device = describeFwCfg({ registers: 'ports', files });
    pio.push({ start: FW_CFG_PORT, length: FW_CFG_LENGTH.ports, device });
  }
  if (options.timer) {
    const timer = describeI8254({ interrupt: TIMER_SOURCE });
    pio.push({ start: I8254_PORT, length: I8254_LENGTH, device: timer });
    pio.push({
      start: SYSTEM_CONTROL_PORT,
      length: SYSTEM_CONTROL_LENGTH,
      device: { kind: 'system-control', timer },
    });
    cleanup.use(new DeviceClock(attachI8254(timer, environment), onFailure));
  }
  const owned = cleanup.move();
  return {
    mmio: [],
    pio,
    pressPowerButton: () => buttons.pressPowerButton(),
    [Symbol.dispose]: () => owned.dispose(),
  };
}
