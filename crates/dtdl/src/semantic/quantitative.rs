//! What the extension QuantitativeTypes adds to the semantic types and units of DTDL v2.
//! Source: `DTDL.quantitativeTypes.v1.md` and `.v2.md`, "Semantic types and units", which have the same rows. Of
//! version 3 no article is published: its types and the units of each class are those that the metamodel of
//! digitaltwinconsortium/DTDLParser lists for the context `dtmi:dtdl:extension:quantitativeTypes;3` (`dtdl_digest.json`).

use super::{Edition, SemanticType, Unit, of, semantic};

/// The semantic type with this term, of those that the extension adds.
pub(super) fn semantic_type(term: &str, edition: Edition) -> Option<&'static SemanticType> {
    let added = SEMANTIC_TYPES.iter().filter(|_| edition >= Edition::First);
    added.chain(THIRD_TYPES.iter().filter(|_| edition >= Edition::Third)).find(|row| row.name == term)
}

/// The unit with this term, of those that the extension adds.
pub(super) fn unit(term: &str, edition: Edition) -> Option<&'static Unit> {
    units(edition).find(|row| row.name == term)
}

/// The units of one class, of those that the extension adds.
pub(super) fn units_of(unit_type: &str, edition: Edition) -> impl Iterator<Item = &'static Unit> {
    units(edition).filter(move |row| row.unit_type == unit_type)
}

fn units(edition: Edition) -> impl Iterator<Item = &'static Unit> {
    let added = UNITS.iter().filter(move |_| edition >= Edition::First);
    added.chain(THIRD_UNITS.iter().filter(move |_| edition >= Edition::Third))
}

static SEMANTIC_TYPES: [SemanticType; 10] = [
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
];

/// Since version 3.
static THIRD_TYPES: [SemanticType; 9] = [
    semantic("DynamicViscosity", "DynamicViscosityUnit"),
    semantic("Efficiency", "Unitless"),
    semantic("GasLeakageRate", "GasLeakageRateUnit"),
    semantic("KinematicViscosity", "KinematicViscosityUnit"),
    semantic("ReciprocalLength", "ReciprocalLengthUnit"),
    semantic("ReciprocalTime", "ReciprocalTimeUnit"),
    semantic("RelativeMeasure", "Unitless"),
    semantic("Scale", "Unitless"),
    semantic("Throttle", "Unitless"),
];

/// Since version 3.
static THIRD_UNITS: [Unit; 28] = [
    of("AccelerationUnit", "kilometrePerSecondSquared"),
    of("AccelerationUnit", "millimetrePerSecondSquared"),
    of("ApparentEnergyUnit", "millivoltAmpereHour"),
    of("CurrentUnit", "nanoampere"),
    of("CurrentUnit", "picoampere"),
    of("DynamicViscosityUnit", "centipoise"),
    of("DynamicViscosityUnit", "millipascalSecond"),
    of("DynamicViscosityUnit", "millipoise"),
    of("DynamicViscosityUnit", "pascalSecond"),
    of("DynamicViscosityUnit", "poise"),
    of("GasLeakageRateUnit", "decapascalCubicMetrePerSecond"),
    of("GasLeakageRateUnit", "hectopascalCubicMetrePerSecond"),
    of("GasLeakageRateUnit", "kilopascalCubicMetrePerSecond"),
    of("GasLeakageRateUnit", "pascalCubicMetrePerSecond"),
    of("KinematicViscosityUnit", "centistokes"),
    of("KinematicViscosityUnit", "squareMetrePerSecond"),
    of("KinematicViscosityUnit", "stokes"),
    of("ReciprocalLengthUnit", "reciprocalCentimetre"),
    of("ReciprocalLengthUnit", "reciprocalKilometre"),
    of("ReciprocalLengthUnit", "reciprocalMetre"),
    of("ReciprocalLengthUnit", "reciprocalMicrometre"),
    of("ReciprocalLengthUnit", "reciprocalMillimetre"),
    of("ReciprocalLengthUnit", "reciprocalNanometre"),
    of("ReciprocalTimeUnit", "reciprocalMinute"),
    of("ReciprocalTimeUnit", "reciprocalSecond"),
    of("VelocityUnit", "millimetrePerSecond"),
    of("VolumeFlowRateUnit", "cubicCentimetrePerMinute"),
    of("VolumeFlowRateUnit", "cubicCentimetrePerSecond"),
];

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
