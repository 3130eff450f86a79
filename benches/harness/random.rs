//! Generates numbers that are equal in every run.

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// Returns a number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Zipf's law over a number of ids, by its exact distribution function. Ranks are strewn over the ids.
pub(crate) struct Zipf {
    below: Vec<f64>,
    ids: Vec<u64>,
}

impl Zipf {
    pub(crate) fn new(ids: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let mut below: Vec<f64> = (1..=ids)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        below.iter_mut().for_each(|share| *share /= sum);
        let mut random = Random::new(1);
        let mut ids: Vec<u64> = (0..ids as u64).collect();
        for i in (1..ids.len()).rev() {
            ids.swap(i, random.below(i + 1));
        }
        Zipf { below, ids }
    }

    pub(crate) fn trace(&self, length: usize, seed: u64) -> Vec<u64> {
        let mut random = Random::new(seed);
        let mut next = || {
            let share = random.fraction();
            let rank = self.below.partition_point(|below| *below < share);
            self.ids[rank.min(self.ids.len() - 1)]
        };
        (0..length).map(|_| next()).collect()
    }
}
