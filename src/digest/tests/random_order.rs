//! Random copies, replayed by several threads in random order, compared with the
//! same bytes hashed in one go.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

use proptest::prelude::*;

use super::super::*;
use super::update;
use crate::cpu::lock;
use crate::range::ByteRange;

/// Stripes cut into requests; `true` for a hole.
type Stripes = Vec<Vec<(ByteRange, bool)>>;

/// A copy to replay: data with holes, cut into stripes, in order of arrival.
#[derive(Debug, Clone)]
struct Case {
    base: u64,
    data: Vec<u8>,
    stripes: Stripes,
    threads: usize,
    algorithms: Vec<Algorithm>,
    /// Whether the end is told only when it has been reached.
    open_ended: bool,
}

impl Case {
    fn generate(seed: u64, len: usize, stripe_bits: u32, threads: usize) -> Case {
        let mut random = Random(seed | 1);
        let base = [0, 1, 512, 4096, random.below(1 << 40)][random.below(5) as usize];
        let mut data = vec![0; len];
        for word in data.chunks_mut(4) {
            word.copy_from_slice(&(random.next() as u32).to_le_bytes()[..word.len()]);
        }
        let any_order = random.below(2) == 0;
        let mut algorithms = Algorithm::ALL.to_vec();
        algorithms
            .retain(|algorithm| !(any_order && algorithm.is_ordered()) && random.below(2) == 0);
        let longest_request = 1 << random.below(18);
        let mut stripes: Stripes = Vec::new();
        let range = ByteRange::with_len(base, len as u64).expect("fits");
        for stripe in range.pieces(1 << stripe_bits) {
            let mut requests = Vec::new();
            let mut rest = stripe;
            while !rest.is_empty() {
                // Aligned as requests usually are, or not.
                let step = 1 + random.below(longest_request);
                let step = if random.below(2) == 0 { step } else { step.next_multiple_of(512) };
                let (request, tail) = rest.split_at(rest.start() + step);
                let is_hole = random.below(4) == 0;
                if is_hole {
                    data[(request.start() - base) as usize..(request.end() - base) as usize]
                        .fill(0);
                }
                requests.push((request, is_hole));
                rest = tail;
            }
            stripes.push(requests);
        }
        if ordered(&algorithms) {
            // Claimed in ascending order, but for what overtakes on the way: no
            // more than there are threads to wait.
            stripes.chunks_mut(threads).for_each(|window| random.shuffle(window));
        } else {
            // Not even the requests of a stripe are in order.
            stripes = stripes.into_iter().flatten().map(|request| vec![request]).collect();
            random.shuffle(&mut stripes);
        }
        let open_ended = random.below(2) == 0;
        Case { base, data, stripes, threads, algorithms, open_ended }
    }

    fn replay(self) -> Option<Vec<Digest>> {
        let range = ByteRange::with_len(self.base, self.data.len() as u64)?;
        let digester = match self.open_ended {
            true => Digester::open_ended(&self.algorithms, range.start()),
            false => Digester::new(&self.algorithms, range),
        };
        let queue = Mutex::new(VecDeque::from(self.stripes));
        let work = || {
            loop {
                let Some(stripe) = lock(&queue).pop_front() else {
                    break;
                };
                for (request, is_hole) in stripe {
                    let hashed = match is_hole {
                        true => digester.update_zeroes(request),
                        false => update(&digester, &self.data, self.base, request),
                    };
                    hashed.expect("not abandoned");
                }
            }
        };
        thread::scope(|scope| {
            (1..self.threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        if self.open_ended {
            digester.end_at(range.end());
        }
        digester.finish()
    }
}

/// xorshift64*: cheap enough to fill the data of 10,000 cases.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 24
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_gives_the_digest_of_the_whole(
        seed: u64,
        len in prop_oneof![0..=4200_usize, 0..=200 * 1024_usize],
        stripe_bits in 10..=16_u32,
        threads in prop_oneof![Just(1_usize), Just(2), Just(8)],
    ) {
        let case = Case::generate(seed, len, stripe_bits, threads);
        let expected: Vec<_> = case.algorithms.iter().map(|a| hash_slice(*a, &case.data)).collect();
        prop_assert_eq!(case.replay(), Some(expected));
    }
}
