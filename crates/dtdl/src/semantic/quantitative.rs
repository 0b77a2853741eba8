//! What the extension QuantitativeTypes adds to the semantic types and units of DTDL v2.
//! Source: `DTDL.quantitativeTypes.v1.md` and `.v2.md`, "Semantic types and units", which have the same rows. Of
//! version 3 no article is published; the types that its metamodel adds and that take no new units are here.

use super::{SemanticType, Unit, of, semantic};

/// The semantic type with this term, of those that the extension adds.
pub(super) fn semantic_type(term: &str) -> Option<&'static SemanticType> {
    SEMANTIC_TYPES.iter().find(|row| row.name == term)
}

/// The unit with this term, of those that the extension adds.
pub(super) fn unit(term: &str) -> Option<&'static Unit> {
    UNITS.binary_search_by(|row| row.name.cmp(term)).ok().map(|at| &UNITS[at])
}

/// The units of one class, of those that the extension adds.
pub(super) fn units_of(unit_type: &str) -> impl Iterator<Item = &'static Unit> {
    UNITS.iter().filter(move |row| row.unit_type == unit_type)
}

static SEMANTIC_TYPES: [SemanticType; 14] = [
    semantic("ApparentEnergy", "ApparentEnergyUnit"),
    semantic("ApparentPower", "ApparentPowerUnit"),
    semantic("Concentration", "Unitless"),
    semantic("EnergyRate", "PowerUnit"),
    semantic("IonizingRadiationDose", "IonizingRadiationDoseUnit"),
    semantic("Irradiance", "IrradianceUnit"),
    semantic("Radioactivity", "RadioactivityUnit"),
    semantic("ReactiveEnergy", "ReactiveEnergyUnit"),
    semantic("ReactivePower", "ReactivePowerUnit"),
    semantic("RelativeDensity", "Unitless"),
    // Version 3.
    semantic("Efficiency", "Unitless"),
    semantic("RelativeMeasure", "Unitless"),
    semantic("Scale", "Unitless"),
    semantic("Throttle", "Unitless"),
];

/// Sorted by name.
static UNITS: [Unit; 68] = [
    of("ChargeUnit", "ampereHour"),
    of("RadioactivityUnit", "becquerel"),
    of("EnergyUnit", "britishThermalUnit"),
    of("PowerUnit", "britishThermalUnitPerHour"),
    of("VolumeFlowRateUnit", "cubicFootPerMinute"),
    of("VolumeFlowRateUnit", "cubicMetrePerHour"),
    of("VolumeFlowRateUnit", "cubicMetrePerMinute"),
    of("VolumeFlowRateUnit", "cubicMetrePerSecond"),
    of("PressureUnit", "decapascal"),
    of("VolumeFlowRateUnit", "gallonPerHour"),
    of("VolumeFlowRateUnit", "gallonPerMinute"),
    of("MagneticInductionUnit", "gauss"),
    of("RadioactivityUnit", "gigabecquerel"),
    of("PowerUnit", "gigajoulePerHour"),
    of("ApparentPowerUnit", "gigavoltAmpere"),
    of("ApparentEnergyUnit", "gigavoltAmpereHour"),
    of("ReactivePowerUnit", "gigavoltAmpereReactive"),
    of("ReactiveEnergyUnit", "gigavoltAmpereReactiveHour"),
    of("EnergyUnit", "gigawattHour"),
    of("IonizingRadiationDoseUnit", "gray"),
    of("PressureUnit", "hectopascal"),
    of("PowerUnit", "joulePerHour"),
    of("PowerUnit", "joulePerSecond"),
    of("EnergyUnit", "kiloBritishThermalUnit"),
    of("PowerUnit", "kiloBritishThermalUnitPerHour"),
    of("CurrentUnit", "kiloampere"),
    of("RadioactivityUnit", "kilobecquerel"),
    of("PowerUnit", "kilojoulePerHour"),
    of("PowerUnit", "kilojoulePerSecond"),
    of("ApparentPowerUnit", "kilovoltAmpere"),
    of("ApparentEnergyUnit", "kilovoltAmpereHour"),
    of("ReactivePowerUnit", "kilovoltAmpereReactive"),
    of("ReactiveEnergyUnit", "kilovoltAmpereReactiveHour"),
    of("VolumeFlowRateUnit", "litrePerMinute"),
    of("MassUnit", "massPound"),
    of("MassFlowRateUnit", "massPoundPerHour"),
    of("RadioactivityUnit", "megabecquerel"),
    of("PowerUnit", "megajoulePerHour"),
    of("ApparentPowerUnit", "megavoltAmpere"),
    of("ApparentEnergyUnit", "megavoltAmpereHour"),
    of("ReactivePowerUnit", "megavoltAmpereReactive"),
    of("ReactiveEnergyUnit", "megavoltAmpereReactiveHour"),
    of("EnergyUnit", "megawattHour"),
    of("DensityUnit", "microgramPerCubicMetre"),
    of("IonizingRadiationDoseUnit", "microgray"),
    of("IonizingRadiationDoseUnit", "microsievert"),
    of("ChargeUnit", "milliampereHour"),
    of("DensityUnit", "milligramPerCubicMetre"),
    of("IonizingRadiationDoseUnit", "milligray"),
    of("FrequencyUnit", "millihertz"),
    of("VolumeFlowRateUnit", "millilitrePerMinute"),
    of("IonizingRadiationDoseUnit", "millisievert"),
    of("ApparentPowerUnit", "millivoltAmpere"),
    of("ReactivePowerUnit", "millivoltAmpereReactive"),
    of("EnergyUnit", "milliwattHour"),
    of("Unitless", "partsPerBillion"),
    of("Unitless", "partsPerMillion"),
    of("Unitless", "partsPerQuadrillion"),
    of("Unitless", "partsPerTrillion"),
    of("IonizingRadiationDoseUnit", "sievert"),
    of("EnergyUnit", "terawattHour"),
    of("PowerUnit", "tonOfRefrigeration"),
    of("ApparentPowerUnit", "voltAmpere"),
    of("ApparentEnergyUnit", "voltAmpereHour"),
    of("ReactivePowerUnit", "voltAmpereReactive"),
    of("ReactiveEnergyUnit", "voltAmpereReactiveHour"),
    of("EnergyUnit", "wattHour"),
    of("IrradianceUnit", "wattPerSquareMetre"),
];
