//! Semantic types and units as tables: those of DTDL v2, which the extension QuantitativeTypes took over for later
//! versions, and the vectors of IoT Central's partner extension.
//! Source: `DTDL.v2.md`, section "Semantic Types"; `DTDL.iotcentral.v2.md`.

mod quantitative;

/// What a number of a Property or Telemetry measures; it fixes the units that may be given.
#[derive(Debug, PartialEq, Eq)]
pub struct SemanticType {
    /// The term, such as `Temperature`.
    pub name: &'static str,
    /// The class of the units that fit, such as `TemperatureUnit`.
    pub unit_type: &'static str,
    /// Whether the schema is IoT Central's `vector` instead of a number.
    pub vector: bool,
}

/// A unit of measure.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    /// The term, such as `degreeCelsius`.
    pub name: &'static str,
    /// Its class, such as `TemperatureUnit`.
    pub unit_type: &'static str,
}

/// Which semantic types and units are in force; each knows those of the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Edition {
    /// Those of DTDL v2 itself.
    Language,
    /// QuantitativeTypes v1 and v2.
    First,
    /// QuantitativeTypes v3.
    Third,
}

/// The semantic type of DTDL v2 with this term.
pub(crate) fn semantic_type(term: &str) -> Option<&'static SemanticType> {
    SEMANTIC_TYPES.binary_search_by(|row| row.name.cmp(term)).ok().map(|at| &SEMANTIC_TYPES[at])
}

/// The semantic type of the extension QuantitativeTypes with this term.
pub(crate) fn quantitative_type(term: &str, edition: Edition) -> Option<&'static SemanticType> {
    semantic_type(term).or_else(|| quantitative::semantic_type(term, edition))
}

/// The semantic type of IoT Central's extension with this term.
pub(crate) fn iotcentral_type(term: &str) -> Option<&'static SemanticType> {
    IOTCENTRAL_TYPES.iter().find(|row| row.name == term)
}

/// The unit of DTDL v2 with this term.
pub(crate) fn unit(term: &str) -> Option<&'static Unit> {
    UNITS.binary_search_by(|row| row.name.cmp(term)).ok().map(|at| &UNITS[at])
}

/// The unit of the extension QuantitativeTypes with this term.
pub(crate) fn quantitative_unit(term: &str, edition: Edition) -> Option<&'static Unit> {
    unit(term).or_else(|| quantitative::unit(term, edition))
}

/// The terms of the units of one class.
pub(crate) fn units_of(unit_type: &str, edition: Edition) -> Vec<&'static str> {
    let core = UNITS.iter().filter(|row| row.unit_type == unit_type);
    core.chain(quantitative::units_of(unit_type, edition)).map(|row| row.name).collect()
}

/// Whether the term names a class of units.
pub(crate) fn is_unit_type(term: &str, edition: Edition) -> bool {
    !units_of(term, edition).is_empty()
}

const fn semantic(name: &'static str, unit_type: &'static str) -> SemanticType {
    SemanticType { name, unit_type, vector: false }
}

const fn vector(name: &'static str, unit_type: &'static str) -> SemanticType {
    SemanticType { name, unit_type, vector: true }
}

const fn of(unit_type: &'static str, name: &'static str) -> Unit {
    Unit { name, unit_type }
}

static IOTCENTRAL_TYPES: [SemanticType; 2] =
    [vector("VelocityVector", "VelocityUnit"), vector("AccelerationVector", "AccelerationUnit")];

/// Sorted by name.
static SEMANTIC_TYPES: [SemanticType; 42] = [
    semantic("Acceleration", "AccelerationUnit"),
    semantic("Angle", "AngleUnit"),
    semantic("AngularAcceleration", "AngularAccelerationUnit"),
    semantic("AngularVelocity", "AngularVelocityUnit"),
    semantic("Area", "AreaUnit"),
    semantic("Capacitance", "CapacitanceUnit"),
    semantic("Current", "CurrentUnit"),
    semantic("DataRate", "DataRateUnit"),
    semantic("DataSize", "DataSizeUnit"),
    semantic("Density", "DensityUnit"),
    semantic("Distance", "LengthUnit"),
    semantic("ElectricCharge", "ChargeUnit"),
    semantic("Energy", "EnergyUnit"),
    semantic("Force", "ForceUnit"),
    semantic("Frequency", "FrequencyUnit"),
    semantic("Humidity", "DensityUnit"),
    semantic("Illuminance", "IlluminanceUnit"),
    semantic("Inductance", "InductanceUnit"),
    semantic("Latitude", "AngleUnit"),
    semantic("Length", "LengthUnit"),
    semantic("Longitude", "AngleUnit"),
    semantic("Luminance", "LuminanceUnit"),
    semantic("Luminosity", "PowerUnit"),
    semantic("LuminousFlux", "LuminousFluxUnit"),
    semantic("LuminousIntensity", "LuminousIntensityUnit"),
    semantic("MagneticFlux", "MagneticFluxUnit"),
    semantic("MagneticInduction", "MagneticInductionUnit"),
    semantic("Mass", "MassUnit"),
    semantic("MassFlowRate", "MassFlowRateUnit"),
    semantic("Power", "PowerUnit"),
    semantic("Pressure", "PressureUnit"),
    semantic("RelativeHumidity", "Unitless"),
    semantic("Resistance", "ResistanceUnit"),
    semantic("SoundPressure", "SoundPressureUnit"),
    semantic("Temperature", "TemperatureUnit"),
    semantic("Thrust", "ForceUnit"),
    semantic("TimeSpan", "TimeUnit"),
    semantic("Torque", "TorqueUnit"),
    semantic("Velocity", "VelocityUnit"),
    semantic("Voltage", "VoltageUnit"),
    semantic("Volume", "VolumeUnit"),
    semantic("VolumeFlowRate", "VolumeFlowRateUnit"),
];

/// Sorted by name.
static UNITS: [Unit; 172] = [
    of("AreaUnit", "acre"),
    of("CurrentUnit", "ampere"),
    of("LengthUnit", "astronomicalUnit"),
    of("PressureUnit", "bar"),
    of("SoundPressureUnit", "bel"),
    of("DataSizeUnit", "bit"),
    of("DataRateUnit", "bitPerSecond"),
    of("DataSizeUnit", "byte"),
    of("DataRateUnit", "bytePerSecond"),
    of("LuminousIntensityUnit", "candela"),
    of("LuminanceUnit", "candelaPerSquareMetre"),
    of("LengthUnit", "centimetre"),
    of("VelocityUnit", "centimetrePerSecond"),
    of("AccelerationUnit", "centimetrePerSecondSquared"),
    of("ChargeUnit", "coulomb"),
    of("VolumeUnit", "cubicCentimetre"),
    of("VolumeUnit", "cubicFoot"),
    of("VolumeUnit", "cubicInch"),
    of("VolumeUnit", "cubicMetre"),
    of("TimeUnit", "day"),
    of("SoundPressureUnit", "decibel"),
    of("TemperatureUnit", "degreeCelsius"),
    of("TemperatureUnit", "degreeFahrenheit"),
    of("AngleUnit", "degreeOfArc"),
    of("AngularVelocityUnit", "degreePerSecond"),
    of("EnergyUnit", "electronvolt"),
    of("DataSizeUnit", "exbibit"),
    of("DataRateUnit", "exbibitPerSecond"),
    of("DataSizeUnit", "exbibyte"),
    of("DataRateUnit", "exbibytePerSecond"),
    of("CapacitanceUnit", "farad"),
    of("VolumeUnit", "fluidOunce"),
    of("LengthUnit", "foot"),
    of("IlluminanceUnit", "footcandle"),
    of("AccelerationUnit", "gForce"),
    of("VolumeUnit", "gallon"),
    of("DataSizeUnit", "gibibit"),
    of("DataRateUnit", "gibibitPerSecond"),
    of("DataSizeUnit", "gibibyte"),
    of("DataRateUnit", "gibibytePerSecond"),
    of("FrequencyUnit", "gigahertz"),
    of("EnergyUnit", "gigajoule"),
    of("PowerUnit", "gigawatt"),
    of("MassUnit", "gram"),
    of("DensityUnit", "gramPerCubicMetre"),
    of("MassFlowRateUnit", "gramPerHour"),
    of("MassFlowRateUnit", "gramPerSecond"),
    of("AreaUnit", "hectare"),
    of("InductanceUnit", "henry"),
    of("FrequencyUnit", "hertz"),
    of("PowerUnit", "horsepower"),
    of("TimeUnit", "hour"),
    of("LengthUnit", "inch"),
    of("PressureUnit", "inchesOfMercury"),
    of("PressureUnit", "inchesOfWater"),
    of("EnergyUnit", "joule"),
    of("TemperatureUnit", "kelvin"),
    of("DataSizeUnit", "kibibit"),
    of("DataRateUnit", "kibibitPerSecond"),
    of("DataSizeUnit", "kibibyte"),
    of("DataRateUnit", "kibibytePerSecond"),
    of("MassUnit", "kilogram"),
    of("DensityUnit", "kilogramPerCubicMetre"),
    of("MassFlowRateUnit", "kilogramPerHour"),
    of("MassFlowRateUnit", "kilogramPerSecond"),
    of("FrequencyUnit", "kilohertz"),
    of("EnergyUnit", "kilojoule"),
    of("LengthUnit", "kilometre"),
    of("VelocityUnit", "kilometrePerHour"),
    of("VelocityUnit", "kilometrePerSecond"),
    of("ResistanceUnit", "kiloohm"),
    of("PressureUnit", "kilopascal"),
    of("VoltageUnit", "kilovolt"),
    of("PowerUnit", "kilowatt"),
    of("EnergyUnit", "kilowattHour"),
    of("PowerUnit", "kilowattHourPerYear"),
    of("VelocityUnit", "knot"),
    of("VolumeUnit", "litre"),
    of("VolumeFlowRateUnit", "litrePerHour"),
    of("VolumeFlowRateUnit", "litrePerSecond"),
    of("LuminousFluxUnit", "lumen"),
    of("IlluminanceUnit", "lux"),
    of("MagneticFluxUnit", "maxwell"),
    of("DataSizeUnit", "mebibit"),
    of("DataRateUnit", "mebibitPerSecond"),
    of("DataSizeUnit", "mebibyte"),
    of("DataRateUnit", "mebibytePerSecond"),
    of("EnergyUnit", "megaelectronvolt"),
    of("FrequencyUnit", "megahertz"),
    of("EnergyUnit", "megajoule"),
    of("ResistanceUnit", "megaohm"),
    of("VoltageUnit", "megavolt"),
    of("PowerUnit", "megawatt"),
    of("LengthUnit", "metre"),
    of("VelocityUnit", "metrePerHour"),
    of("VelocityUnit", "metrePerSecond"),
    of("AccelerationUnit", "metrePerSecondSquared"),
    of("CurrentUnit", "microampere"),
    of("CapacitanceUnit", "microfarad"),
    of("MassUnit", "microgram"),
    of("InductanceUnit", "microhenry"),
    of("LengthUnit", "micrometre"),
    of("TimeUnit", "microsecond"),
    of("VoltageUnit", "microvolt"),
    of("PowerUnit", "microwatt"),
    of("LengthUnit", "mile"),
    of("VelocityUnit", "milePerHour"),
    of("VelocityUnit", "milePerSecond"),
    of("CurrentUnit", "milliampere"),
    of("PressureUnit", "millibar"),
    of("CapacitanceUnit", "millifarad"),
    of("MassUnit", "milligram"),
    of("InductanceUnit", "millihenry"),
    of("VolumeUnit", "millilitre"),
    of("VolumeFlowRateUnit", "millilitrePerHour"),
    of("VolumeFlowRateUnit", "millilitrePerSecond"),
    of("LengthUnit", "millimetre"),
    of("PressureUnit", "millimetresOfMercury"),
    of("ResistanceUnit", "milliohm"),
    of("TimeUnit", "millisecond"),
    of("VoltageUnit", "millivolt"),
    of("PowerUnit", "milliwatt"),
    of("TimeUnit", "minute"),
    of("AngleUnit", "minuteOfArc"),
    of("CapacitanceUnit", "nanofarad"),
    of("LengthUnit", "nanometre"),
    of("TimeUnit", "nanosecond"),
    of("LengthUnit", "nauticalMile"),
    of("ForceUnit", "newton"),
    of("TorqueUnit", "newtonMetre"),
    of("ResistanceUnit", "ohm"),
    of("ForceUnit", "ounce"),
    of("PressureUnit", "pascal"),
    of("Unitless", "percent"),
    of("CapacitanceUnit", "picofarad"),
    of("ForceUnit", "pound"),
    of("PressureUnit", "poundPerSquareInch"),
    of("AngleUnit", "radian"),
    of("AngularVelocityUnit", "radianPerSecond"),
    of("AngularAccelerationUnit", "radianPerSecondSquared"),
    of("AngularVelocityUnit", "revolutionPerMinute"),
    of("AngularVelocityUnit", "revolutionPerSecond"),
    of("TimeUnit", "second"),
    of("AngleUnit", "secondOfArc"),
    of("MassUnit", "slug"),
    of("AreaUnit", "squareCentimetre"),
    of("AreaUnit", "squareFoot"),
    of("AreaUnit", "squareInch"),
    of("AreaUnit", "squareKilometre"),
    of("AreaUnit", "squareMetre"),
    of("AreaUnit", "squareMillimetre"),
    of("DataSizeUnit", "tebibit"),
    of("DataRateUnit", "tebibitPerSecond"),
    of("DataSizeUnit", "tebibyte"),
    of("DataRateUnit", "tebibytePerSecond"),
    of("MagneticInductionUnit", "tesla"),
    of("ForceUnit", "ton"),
    of("MassUnit", "tonne"),
    of("AngleUnit", "turn"),
    of("Unitless", "unity"),
    of("VoltageUnit", "volt"),
    of("PowerUnit", "watt"),
    of("MagneticFluxUnit", "weber"),
    of("TimeUnit", "year"),
    of("DataSizeUnit", "yobibit"),
    of("DataRateUnit", "yobibitPerSecond"),
    of("DataSizeUnit", "yobibyte"),
    of("DataRateUnit", "yobibytePerSecond"),
    of("DataSizeUnit", "zebibit"),
    of("DataRateUnit", "zebibitPerSecond"),
    of("DataSizeUnit", "zebibyte"),
    of("DataRateUnit", "zebibytePerSecond"),
];
