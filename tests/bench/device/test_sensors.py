"""Sensors on made-up sysfs trees and a made-up NVML: no test reads this machine's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.messages import missing

from edgeexit.bench.device.meters import CounterMeter, PowerMeter
from edgeexit.bench.device.nvml import Gpu, open_gpu
from edgeexit.bench.device.readings import read_state
from edgeexit.bench.device.sensors import find_meters, ina3221_meters, rapl_meters
from edgeexit.bench.results.energy import EnergySensor
from edgeexit.bench.results.state import Clock, Temperature, ThrottleSign

SENSOR = EnergySensor("RAPL", "package-0", "energy_uj")


def write_tree(root: Path, files: dict[str, object]) -> Path:
    """Write each value with a newline, as the kernel does, to its path below ``root``."""
    for name, value in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return root


def ina3221(root: Path, number: int, *rails: tuple[str, int, int], **more: object) -> Path:
    """A chip whose rails have a label, mV and mA each, and more files."""
    files: dict[str, object] = {"name": "ina3221", **more}
    for channel, (label, voltage, current) in enumerate(rails, 1):
        files[f"in{channel}_label"] = label
        files |= {f"in{channel}_input": voltage, f"curr{channel}_input": current}
    return write_tree(root, {f"class/hwmon/hwmon{number}/{it}": files[it] for it in files})


def orin_nano(root: Path) -> Path:
    """The power rails of a Jetson Orin Nano under JetPack 6: one INA3221, among other monitors."""
    write_tree(root, {"class/hwmon/hwmon0/name": "pwmfan"})
    rails = ("VDD_IN", 4984, 1500), ("VDD_CPU_GPU_CV", 4976, 600), ("VDD_SOC", 4984, 300)
    return ina3221(root, 1, *rails, in7_label="shunt voltages", in7_input=12, curr4_input=2400)


def agx_orin(root: Path) -> Path:
    """An AGX Orin's two chips; not every channel is connected, and no rail is the input."""
    ina3221(root, 3, ("VDD_GPU_SOC", 20000, 100), ("VDD_CPU_CV", 20000, 50))
    return ina3221(root, 4, ("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 80))


def rapl(root: Path, energy_uj: int = 5_000_000) -> Path:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    files: dict[str, object] = {"intel-rapl/enabled": 1}
    for zone, name in zones.items():
        files |= {f"{zone}/name": name, f"{zone}/energy_uj": energy_uj}
        files[f"{zone}/max_energy_range_uj"] = 262_143_328_850
    return write_tree(root / "class/powercap", files).parent.parent


# meters


@pytest.mark.parametrize(
    ("range_j", "stop_j", "joules"), [(100.0, 100.5, 2.5), (100.0, 3.0, 5.0), (None, 3.0, None)]
)
def test_a_counter_gives_the_difference_and_wraps_around_at_its_range_alone(
    range_j: float | None, stop_j: float, joules: float | None
) -> None:
    values = iter([98.0, stop_j])
    meter = CounterMeter(SENSOR, lambda: next(values), range_j)
    meter.start()
    if joules is not None:
        assert meter.stop() == joules
        return
    with pytest.raises(OSError, match="energy_uj: the energy counter went backwards"):
        meter.stop()


def test_a_power_meter_reads_at_both_ends_and_adds_up_over_time() -> None:
    seconds = iter([0.0, 2.0, 10.0, 10.5])
    watts = iter([4.0, 6.0, 8.0, 8.0])
    read, clock = partial(next, watts), partial(next, seconds)
    meter = PowerMeter(SENSOR, read, poll_s=60, clock=clock)  # no reading in between
    meter.start()
    assert meter.stop() == 10.0
    meter.start()  # again, from nothing
    assert meter.stop() == 4.0


def test_a_power_meter_tells_of_a_reading_that_failed() -> None:
    readings = iter([4.0])

    def read() -> float:
        for watts in readings:
            return watts
        raise OSError("the bus is busy")

    meter = PowerMeter(SENSOR, read, poll_s=0)
    meter.start()
    with pytest.raises(OSError, match="the bus is busy"):
        meter.stop()


# Jetson


def test_the_input_of_the_whole_module_is_enough(tmp_path: Path) -> None:
    (meter,) = ina3221_meters(orin_nano(tmp_path))
    assert meter.sensor == EnergySensor(
        "INA3221", "VDD_IN", str(tmp_path / "class/hwmon/hwmon1/curr1_input")
    )
    assert meter._read_w() == pytest.approx(4.984 * 1.5)


def test_rails_are_added_up_where_none_is_the_input(tmp_path: Path) -> None:
    root = agx_orin(tmp_path)
    watts = {meter.sensor.name: meter._read_w() for meter in ina3221_meters(root)}
    expected = {"VDD_GPU_SOC": 2.0, "VDD_CPU_CV": 1.0, "VDDQ_VDD2_1V8AO": 0.4}
    assert watts == pytest.approx(expected)
    (root / "class/hwmon/hwmon3/curr2_input").write_text("")  # cannot be read
    names = [meter.sensor.name for meter in ina3221_meters(root)]
    assert names == ["VDD_GPU_SOC", "VDDQ_VDD2_1V8AO"]


# x86


def test_packages_and_memory_are_read_and_nothing_twice(tmp_path: Path) -> None:
    meters, notes = rapl_meters(rapl(tmp_path, energy_uj=262_143_328_850 - 1_000_000))
    assert [meter.sensor.name for meter in meters] == [
        "package-0 (intel-rapl:0)",
        "dram (intel-rapl:0:1)",
    ]
    assert notes == []
    meters[0].start()
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").write_text("500000\n")  # wrapped around
    assert meters[0].stop() == pytest.approx(1.5)


def test_rapl_for_root_alone_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(monkeypatch, "energy_uj")
    found = find_meters(rapl(tmp_path))
    assert found.meters == ()
    none, note = found.notes
    assert none.startswith("No energy was measured")
    counter = tmp_path / "class/powercap/intel-rapl:0/energy_uj"
    assert not missing(note, "RAPL", str(counter), "root", f"sudo chmod o+r {counter}")


def test_a_counter_that_holds_no_number(tmp_path: Path) -> None:
    root = rapl(tmp_path)
    (root / "class/powercap/intel-rapl:0/energy_uj").write_text("many\n")
    meters, (note,) = rapl_meters(root)
    assert meters == []
    assert note.endswith("intel-rapl:0/energy_uj: expected an integer, got 'many'")


def deny(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Refuse to read files of that name: root, as which tests may run, may read everything."""
    read = Path.read_text

    def refuse(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)


# which of them


def test_no_sensor_is_said_in_one_line(tmp_path: Path) -> None:
    found = find_meters(tmp_path)
    note = "No energy was measured: no INA3221, RAPL or NVML sensor could be read."
    assert (found.meters, found.notes) == ((), (note,))


@pytest.mark.parametrize(
    ("tree", "has_gpu", "note", "kinds"),
    [
        (orin_nano, True, None, ["INA3221"]),
        (rapl, True, None, ["RAPL", "RAPL", "NVML"]),
        (rapl, False, "NVML: nvidia-ml-py is not installed; ...", ["RAPL", "RAPL"]),
    ],
)
def test_a_jetson_is_read_by_its_rails_alone_others_by_processor_and_gpu(
    tmp_path: Path,
    nvml: Any,
    tree: Callable[[Path], Path],
    has_gpu: bool,
    note: str | None,
    kinds: list[str],
) -> None:
    found = find_meters(tree(tmp_path), open_one(nvml) if has_gpu else None, note)
    assert [meter.sensor.kind for meter in found.meters] == kinds
    assert found.notes == (() if note is None else (note,))


# NVML


class FakeError(Exception):
    """What NVML raises."""


def refuse(*arguments: object) -> Any:
    raise FakeError("Not Supported")


@pytest.fixture
def nvml() -> Any:
    """A GPU that tells everything; tests take functions away."""
    energy = iter(range(1_000, 100_000, 500))
    return SimpleNamespace(
        NVMLError=FakeError,
        NVML_CLOCK_SM=1,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"gpu {index}",
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetName=lambda handle: "NVIDIA Test",
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(energy),
        nvmlDeviceGetPowerUsage=lambda handle: 70_000,
        nvmlDeviceGetClockInfo=lambda handle, kind: 1200,
        nvmlDeviceGetMaxClockInfo=lambda handle, kind: 1980,
        nvmlDeviceGetTemperature=lambda handle, kind: 61,
        nvmlDeviceGetCurrentClocksEventReasons=lambda handle: 0x41,
    )


def open_one(nvml: Any) -> Gpu:
    gpu, note = open_gpu(nvml, {})
    assert note is None
    assert gpu is not None
    return gpu


def test_a_gpu_counts_its_energy(nvml: Any) -> None:
    meter = open_one(nvml).meter()
    assert isinstance(meter, CounterMeter)
    assert meter.sensor == EnergySensor(
        "NVML", "NVIDIA Test", "nvmlDeviceGetTotalEnergyConsumption"
    )
    meter.start()
    assert meter.stop() == pytest.approx(0.5)  # millijoules


def test_an_older_gpu_tells_its_power(nvml: Any) -> None:
    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    meter = open_one(nvml).meter()
    assert isinstance(meter, PowerMeter)
    assert meter._read_w() == pytest.approx(70.0)


def test_a_gpu_that_tells_nothing_is_said(nvml: Any, tmp_path: Path) -> None:
    nvml.nvmlDeviceGetTotalEnergyConsumption = nvml.nvmlDeviceGetPowerUsage = refuse
    nvml.nvmlDeviceGetClockInfo = nvml.nvmlDeviceGetTemperature = refuse
    del nvml.nvmlDeviceGetCurrentClocksEventReasons
    gpu = open_one(nvml)
    assert (gpu.clocks(), gpu.temperatures(), gpu.signs()) == ((), (), ())
    notes = find_meters(tmp_path, gpu).notes
    assert not missing(notes[-1], "NVML", "NVIDIA Test", "energy", "power")


def test_a_gpu_that_fails_later_raises_an_oserror(nvml: Any) -> None:
    meter = open_one(nvml).meter()
    assert meter is not None
    meter.start()
    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    with pytest.raises(OSError, match="nvmlDeviceGetTotalEnergyConsumption: Not Supported"):
        meter.stop()


def test_clocks_temperature_and_reasons_of_a_gpu(nvml: Any) -> None:
    gpu = open_one(nvml)
    assert gpu.clocks() == (Clock("NVIDIA Test", 1200.0, 1980.0, 1980.0),)
    assert gpu.temperatures() == (Temperature("NVIDIA Test", 61.0),)
    slow = ["NVIDIA Test: hardware thermal slowdown"]  # idle is no reason to complain
    assert [sign.name for sign in gpu.signs() if sign.value] == slow
    older = "nvmlDeviceGetCurrentClocksThrottleReasons"
    setattr(nvml, older, nvml.__dict__.pop("nvmlDeviceGetCurrentClocksEventReasons"))
    assert [sign.name for sign in gpu.signs() if sign.value] == slow


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("", "gpu 0"), ("2,0", "gpu 2"), ("GPU-1234,1", "GPU-1234")],
)
def test_the_gpu_is_the_one_that_cuda_takes(nvml: Any, visible: str, expected: str) -> None:
    asked: list[str] = []
    nvml.nvmlDeviceGetName = lambda handle: asked.append(handle) or b"bytes"
    gpu, _ = open_gpu(nvml, {"CUDA_VISIBLE_DEVICES": visible})
    assert gpu is not None
    assert asked == [expected]
    assert gpu.name == "bytes"


def test_no_driver_is_said(nvml: Any) -> None:
    def fail() -> None:
        raise FakeError("Driver Not Loaded")

    nvml.nvmlInit = fail
    assert open_gpu(nvml, {}) == (None, "NVML: Driver Not Loaded")


def test_a_missing_module_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert open_gpu() == (
        None,
        "NVML: nvidia-ml-py is not installed; pip install 'edgeexit[energy]'",
    )


# state


def cooling(root: Path, devices: dict[int, tuple[str, int]]) -> Path:
    """Write cooling devices, type and state by number."""
    for number, (kind, value) in devices.items():
        folder = f"class/thermal/cooling_device{number}"
        write_tree(root, {f"{folder}/type": kind, f"{folder}/cur_state": value})
    return root


def test_a_device_that_tells_nothing(tmp_path: Path) -> None:
    state = read_state(tmp_path)
    assert (state.clocks, state.temperatures, state.signs) == ((), (), ())


def test_a_jetson_tells_clocks_temperatures_and_signs(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            **{
                f"devices/system/cpu/cpufreq/{name}": value
                for name, value in {
                    "policy0/scaling_cur_freq": 729_600,
                    "policy0/scaling_max_freq": 1_190_400,
                    "policy0/cpuinfo_max_freq": 1_510_400,
                    "policy0/affected_cpus": "0 1 2 3",
                    "policy4/scaling_cur_freq": 729_600,  # and no limit
                }.items()
            },
            "class/devfreq/17000000.gpu/cur_freq": 306_000_000,
            "class/devfreq/17000000.gpu/max_freq": 612_000_000,
            "class/devfreq/17000000.gpu/available_frequencies": "306000000 612000000 624750000",
            "class/devfreq/15340000.vic/cur_freq": 1,
            "class/devfreq/15340000.vic/max_freq": 1,
            "class/thermal/thermal_zone0/type": "cpu-thermal",
            "class/thermal/thermal_zone0/temp": 48_500,
            "class/thermal/thermal_zone1/type": "cv0-thermal",
            "class/thermal/thermal_zone1/temp": "",  # off
            "class/hwmon/hwmon2/name": "soctherm_oc",
            "class/hwmon/hwmon2/oc3_event_cnt": 27,
        },
    )
    cooling(root, {0: ("pwm-fan", 3), 2: ("cpu-throttle-alert", 1), 10: ("devfreq-1.gpu", 0)})
    state = read_state(root)
    assert [clock.name for clock in state.clocks] == ["cpu0-3", "17000000.gpu"]
    values = [(clock.current_mhz, clock.limit_mhz, clock.max_mhz) for clock in state.clocks]
    assert values[0] == pytest.approx((729.6, 1190.4, 1510.4))
    assert values[1] == pytest.approx((306.0, 612.0, 624.75))
    assert state.temperatures == (Temperature("cpu-thermal", 48.5),)
    assert state.signs == (
        ThrottleSign("over-current or under-voltage (oc3)", True, 27),
        ThrottleSign("cpu-throttle-alert (cooling_device2)", False, 1),
        ThrottleSign("devfreq-1.gpu (cooling_device10)", False, 0),
    )


def test_x86_counts_each_core_and_each_package_once(tmp_path: Path) -> None:
    cpus: dict[str, object] = {}
    for cpu, package, core_count in ((0, 0, 2), (1, 0, 1), (2, 1, 0), (10, 1, 4)):
        folder = f"devices/system/cpu/cpu{cpu}"
        cpus[f"{folder}/thermal_throttle/core_throttle_count"] = core_count
        cpus[f"{folder}/thermal_throttle/package_throttle_count"] = 5 + package
        cpus[f"{folder}/topology/physical_package_id"] = package
    assert read_state(write_tree(tmp_path, cpus)).signs == (
        ThrottleSign("processor cores: thermal throttling", True, 7),
        ThrottleSign("processor package: thermal throttling", True, 11),
    )


def test_limits_of_other_machines_are_no_throttling(tmp_path: Path) -> None:
    settings = {0: ("TCC Offset", 5), 1: ("intel_powerclamp", -1), 2: ("Processor", 0)}
    state = read_state(cooling(tmp_path, settings))
    assert state.signs == (ThrottleSign("Processor (cooling_device2)", False, 0),)
