//! Prices of functions and instances: a dated table, and overrides.

use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use serde::Deserialize;
use toml::{Table, Value};

/// The built-in table.
const DATED: &str = include_str!("prices.toml");

/// All prices.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Prices {
    lambda_x86: Tariff,
    lambda_arm64: Tariff,
    cloud_run: Tariff,
    pub(crate) instance: Instance,
    /// Overridden keys, such as `lambda-x86.gib_second`, in the order in which they were given.
    #[serde(skip)]
    given: Vec<String>,
}

/// Platform that a function runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    LambdaX86,
    LambdaArm64,
    CloudRun,
}

/// Prices of a platform; those that are `None` are unknown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tariff {
    gib_second: Option<f64>,
    vcpu_second: Option<f64>,
    million_requests: Option<f64>,
    step_ms: f64,
    mb_per_vcpu: Option<f64>,
    date: String,
    source: String,
}

/// An always-on machine with one core.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instance {
    /// Dollars per month.
    pub(crate) month: f64,
    pub(crate) date: String,
    #[serde(rename = "source")]
    _source: String,
}

/// A platform's prices, in dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    /// Price of one second of 1,024 MB.
    pub(crate) gib_second: f64,
    /// Price of one second of a vCPU, where it is billed separately.
    pub(crate) vcpu_second: f64,
    /// Price of a million calls.
    pub(crate) million_requests: f64,
    /// Billing granularity: times are rounded up to a multiple of this.
    pub(crate) step_ms: f64,
    /// Memory size that grants a whole vCPU, where smaller sizes grant a fraction.
    pub(crate) mb_per_vcpu: Option<f64>,
}

/// An override of one price, as in `lambda-x86.gib_second=0.0000166667`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rate {
    table: String,
    key: String,
    value: f64,
}

impl Platform {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LambdaX86 => "lambda-x86",
            Self::LambdaArm64 => "lambda-arm64",
            Self::CloudRun => "cloud-run",
        }
    }

    /// Memory sizes that the platform offers, in MB.
    pub(crate) fn memory(self) -> RangeInclusive<usize> {
        match self {
            Self::LambdaX86 | Self::LambdaArm64 => 128..=10_240,
            Self::CloudRun => 128..=32_768,
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(argument: &str) -> Result<Self, String> {
        let parts = argument.split_once('=').and_then(|(name, value)| {
            let (table, key) = name.split_once('.')?;
            let value: f64 = value.parse().ok()?;
            (value.is_finite() && value >= 0.0).then(|| Self {
                table: table.to_owned(),
                key: key.to_owned(),
                value,
            })
        });
        parts
            .ok_or_else(|| "expected TABLE.KEY=NUMBER, as lambda-x86.gib_second=0.00001".to_owned())
    }
}

impl Prices {
    /// Reads the built-in table, overrides it by the file's, and that by single rates.
    ///
    /// # Errors
    /// For an unknown or invalid key; the error names it.
    pub(crate) fn read(file: Option<&Path>, rates: &[Rate]) -> Result<Self> {
        let mut prices: Table = DATED.parse().context("the table of prices")?;
        let mut given = Vec::new();
        if let Some(file) = file {
            let name = || file.display().to_string();
            let text = std::fs::read_to_string(file).with_context(name)?;
            let over: Table = text.parse().map_err(|error: toml::de::Error| {
                let at = error.span().map_or(0, |span| span.start);
                let line = 1 + text[..at].matches('\n').count();
                anyhow!("{}: line {line}: {}", name(), error.message())
            })?;
            for (key, value) in over {
                match (prices.get_mut(&key), value) {
                    (Some(Value::Table(own)), Value::Table(over)) => {
                        if !over.contains_key("source") {
                            given.extend(over.keys().map(|name| format!("{key}.{name}")));
                        }
                        own.extend(over);
                    }
                    _ => bail!("{}: {key} is not a table of prices", file.display()),
                }
            }
        }
        for Rate { table, key, value } in rates {
            match prices.get_mut(table) {
                Some(Value::Table(own)) => own.insert(key.clone(), Value::Float(*value)),
                _ => bail!("--rate {table}.{key}: {table} is not a table of prices"),
            };
            given.push(format!("{table}.{key}"));
        }
        let mut prices: Self = prices.try_into().map_err(|error: toml::de::Error| {
            let text = error.to_string();
            let words: Vec<_> = text.split_whitespace().collect();
            anyhow!("prices: {}", words.join(" "))
        })?;
        prices.check()?;
        prices.given = given;
        Ok(prices)
    }

    /// Rates of a platform, or the name of the first unknown one.
    pub(crate) fn rates(&self, platform: Platform) -> Result<Rates, String> {
        let tariff = self.tariff(platform);
        let known =
            |key: &str, rate: Option<f64>| rate.ok_or_else(|| format!("{}.{key}", platform.name()));
        Ok(Rates {
            gib_second: known("gib_second", tariff.gib_second)?,
            vcpu_second: known("vcpu_second", tariff.vcpu_second)?,
            million_requests: known("million_requests", tariff.million_requests)?,
            step_ms: tariff.step_ms,
            mb_per_vcpu: tariff.mb_per_vcpu,
        })
    }

    /// Date and source of a platform's prices.
    pub(crate) fn origin(&self, platform: Platform) -> (&str, &str) {
        let tariff = self.tariff(platform);
        (&tariff.date, &tariff.source)
    }

    /// Keys of a table that a flag, or a file without a `source`, has overridden, each once. The table's date and source do not
    /// apply to them.
    pub(crate) fn given(&self, table: &str) -> Vec<&str> {
        let mut keys = Vec::new();
        for name in &self.given {
            if let Some((own, key)) = name.split_once('.')
                && own == table
                && !["date", "source"].contains(&key)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        keys
    }

    fn tariff(&self, platform: Platform) -> &Tariff {
        match platform {
            Platform::LambdaX86 => &self.lambda_x86,
            Platform::LambdaArm64 => &self.lambda_arm64,
            Platform::CloudRun => &self.cloud_run,
        }
    }

    /// Checks that every price is finite and not negative.
    fn check(&self) -> Result<()> {
        let mut all = vec![("instance", "month", Some(self.instance.month), false)];
        for &platform in Platform::value_variants() {
            let (tariff, name) = (self.tariff(platform), platform.name());
            all.extend([
                (name, "gib_second", tariff.gib_second, false),
                (name, "vcpu_second", tariff.vcpu_second, false),
                (name, "million_requests", tariff.million_requests, false),
                (name, "step_ms", Some(tariff.step_ms), true),
                (name, "mb_per_vcpu", tariff.mb_per_vcpu, true),
            ]);
        }
        for (table, key, value, positive) in all {
            let Some(value) = value else { continue };
            if !value.is_finite() || value < 0.0 || (positive && value == 0.0) {
                bail!("{table}.{key}: {value} is no price, step or size");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dated_table_has_what_was_published() {
        let prices = Prices::read(None, &[]).unwrap();
        let arm = prices.rates(Platform::LambdaArm64).unwrap();
        assert_eq!((arm.gib_second, arm.million_requests), (0.0000133334, 0.2));
        let missing = prices.rates(Platform::CloudRun).unwrap_err();
        assert_eq!(missing, "cloud-run.gib_second");
        for &platform in Platform::value_variants() {
            let (date, source) = prices.origin(platform);
            assert!(date.starts_with("20") && source.contains('.'));
        }
    }

    #[test]
    fn a_file_stands_over_the_table_and_a_flag_over_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[cloud-run]\ngib_second = 1e-6\nvcpu_second = 2e-5\n[instance]\nmonth = 4.0";
        let text = text.to_owned() + "\n[lambda-x86]\ngib_second = 1e-5\nsource = \"our contract\"";
        std::fs::write(file.path(), text).unwrap();
        let rate: Rate = "cloud-run.vcpu_second=3e-5".parse().unwrap();
        let prices = Prices::read(Some(file.path()), &[rate]).unwrap();
        let rates = prices.rates(Platform::CloudRun).unwrap();
        assert_eq!((rates.gib_second, rates.vcpu_second), (1e-6, 3e-5));
        assert_eq!((rates.million_requests, rates.step_ms), (0.4, 100.0));
        assert_eq!(prices.instance.month, 4.0);
        assert_eq!(prices.given("cloud-run"), ["gib_second", "vcpu_second"]);
        assert_eq!(prices.given("instance"), ["month"]);
        assert!(prices.given("lambda-x86").is_empty());
    }

    #[test]
    fn what_is_no_price() {
        for wrong in ["", "x", "x=1", "a.b", "a.b=", "a.b=nan", "a.b=-1"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
        for (rate, says) in [
            ("azure.month=1", "azure"),
            ("cloud-run.gib_secnd=1", "gib_secnd"),
            ("lambda-x86.step_ms=0", "lambda-x86.step_ms"),
        ] {
            let error = Prices::read(None, &[rate.parse().unwrap()]).unwrap_err();
            assert!(format!("{error:#}").contains(says), "{error:#}");
        }
    }
}
