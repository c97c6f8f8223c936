//! What it costs to read a request's body of 32 KB, by what its prompt is made of.
//!
//! `cargo bench -p penstock-core --bench body`

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use penstock_core::endpoint::{Chat, Endpoint};
use penstock_load::text::{TEXTS, text};

const BYTES: usize = 32_768;

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read a body of 32 KB");
    for (name, kind) in TEXTS {
        let prompt = text(kind, BYTES);
        let body = format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]}}"
        );
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(Chat.read(black_box(body.as_bytes())).is_ok()));
        });
    }
    group.finish();
}

criterion_group!(benches, bodies);
criterion_main!(benches);
