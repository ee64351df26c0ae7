//! Metrics as text, in the form that the client takes: OpenMetrics, or Prometheus's older one.

use std::fmt::{self, Write};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::families::{Families, Family, Reading, Summary};
use crate::response::Response;

const OPENMETRICS: &str = "application/openmetrics-text";

/// The metrics, for a client that takes what `accept` says.
pub fn written(families: Families, accept: &str) -> Response {
    let openmetrics = accept.contains(OPENMETRICS);
    let kind = match openmetrics {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => prometheus_text::CONTENT_TYPE,
    };
    match text_of(families, openmetrics) {
        Ok(text) => Response::ok(kind, text),
        Err(error) => Response::refusal(500, &error.to_string()),
    }
}

fn text_of(families: Families, openmetrics: bool) -> Result<String, fmt::Error> {
    let Families { all, pauses } = families;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Form { all, openmetrics }));
    let mut written = String::new();
    if openmetrics {
        text::encode_registry(&mut written, &registry)?;
        summary(&mut written, &pauses)?;
        text::encode_eof(&mut written)?;
    } else {
        prometheus_text::encode(&mut written, &registry)?;
        summary(&mut written, &pauses)?;
    }
    Ok(written)
}

/// The one kind of metric that the crate does not write. Both forms have it alike.
fn summary(to: &mut String, summary: &Summary) -> fmt::Result {
    let Summary {
        name,
        help,
        quantiles,
        sum,
        count,
    } = summary;
    writeln!(to, "# HELP {name} {help}\n# TYPE {name} summary")?;
    for (quantile, seconds) in quantiles {
        writeln!(to, "{name}{{quantile=\"{quantile}\"}} {seconds:?}")?;
    }
    writeln!(to, "{name}_sum {sum:?}\n{name}_count {count}")
}

/// Families, to be written in one of the two forms.
#[derive(Debug)]
struct Form {
    all: Vec<Family>,
    openmetrics: bool,
}

impl Collector for Form {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut seen = std::collections::HashSet::new();
        for Family { name, help, value } in &self.all {
            // In OpenMetrics a counter's name has no ending, so that of go_memstats_alloc_bytes_total would be that
            // of the gauge go_memstats_alloc_bytes; one of unknown kind is named in full.
            if self.openmetrics && !seen.insert(name) {
                if let Reading::Counter(count) = value {
                    let full = format!("{name}_total");
                    encoder
                        .encode_descriptor(&full, help, None, MetricType::Unknown)?
                        .encode_gauge(count)?;
                }
                continue;
            }
            let kind = match value {
                Reading::Counter(_) => MetricType::Counter,
                Reading::Gauge(_) | Reading::Labels(_) => MetricType::Gauge,
                Reading::Histogram { .. } => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            match value {
                Reading::Counter(count) => {
                    metric.encode_counter::<NoLabelSet, _, f64>(count, None)?;
                }
                Reading::Gauge(value) => metric.encode_gauge(value)?,
                Reading::Labels(labels) => metric.encode_family(labels)?.encode_gauge(&1)?,
                Reading::Histogram {
                    sum,
                    count,
                    buckets,
                } => {
                    metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
                }
            }
        }
        Ok(())
    }
}
