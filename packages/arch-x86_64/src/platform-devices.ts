import type { BoardOptions, PlatformDevices } from '@tsvmm/arch';
import {
  ACPI_PM_LENGTH,
  attachAcpiPm,
  attachCmosRtc,
  type BusEntry,
  CMOS_RTC_LENGTH,
  CMOS_RTC_PORT,
  DeviceClock,
  type DeviceEnvironment,
  describeAcpiPm,
  describeCmosRtc,
  describeFwCfg,
  FW_CFG_LENGTH,
  FW_CFG_PORT,
  I8042_LENGTH,
  I8042_PORT,
} from '@tsvmm/devices';
import { POWER_MANAGEMENT_PORT, RTC_SOURCE, SCI_SOURCE } from './layout.ts';

/** What a PC has besides PCI: power management, the clock, and the keyboard controller's reset. */
export function platformDevices(
  environment: DeviceEnvironment,
  onFailure: (error: unknown) => void,
  options: Pick<BoardOptions, 'platform' | 'fwCfgFiles'>,
  memory: { readonly low: number; readonly high: number },
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
    const rtc = describeCmosRtc({ interrupt: RTC_SOURCE, memory, powerManagement });
    pio.push({ start: CMOS_RTC_PORT, length: CMOS_RTC_LENGTH, device: rtc });
    cleanup.use(new DeviceClock(attachCmosRtc(rtc, environment), onFailure));
  }
  if (files !== undefined) {
    const device = describeFwCfg({ registers: 'ports', files });
    pio.push({ start: FW_CFG_PORT, length: FW_CFG_LENGTH.ports, device });
  }
  const owned = cleanup.move();
  return {
    mmio: [],
    pio,
    pressPowerButton: () => buttons.pressPowerButton(),
    [Symbol.dispose]: () => owned.dispose(),
  };
}
