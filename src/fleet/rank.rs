//! Which shards a process takes first, by what its launcher says. All others come after
//! these, so that a wrong answer costs time and never a byte.

use crate::error::{ErrorKind, Result};

/// The place of a process among those that do a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Share {
    /// Nothing is known: it takes what nobody has.
    #[default]
    Any,
    /// It is number `number`, from 0, of `count`: every `count`-th shard.
    Of {
        /// From 0.
        number: u32,
        /// At least 1.
        count: u32,
    },
    /// It begins with this shard: how many others there are is not known.
    At(u32),
}

impl std::str::FromStr for Share {
    type Err = String;

    /// `K/N`, where K is from 1 to N.
    fn from_str(text: &str) -> std::result::Result<Share, String> {
        let parts = text.split_once('/');
        let numbers =
            parts.and_then(|(k, n)| Some((k.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
        match numbers {
            None => Err("must be K/N, as in 1/4: part K of N".to_owned()),
            Some((_, 0)) => Err("there are no parts of 0".to_owned()),
            Some((0, n)) => Err(format!("parts are counted from 1: the first of {n} is 1/{n}")),
            Some((k, n)) if k > n => Err(format!("there is no part {k} of {n}")),
            Some((k, n)) => Ok(Share::Of { number: k - 1, count: n }),
        }
    }
}

impl Share {
    /// What launchers of jobs say in variables of the environment, which `variable`
    /// looks up.
    ///
    /// # Errors
    ///
    /// If one of them is not a number.
    pub fn of_launcher(variable: &dyn Fn(&str) -> Option<String>) -> Result<Share> {
        let number = |name: &'static str| -> Result<Option<u32>> {
            match variable(name) {
                None => Ok(None),
                Some(text) => match text.trim().parse::<u32>() {
                    Ok(number) => Ok(Some(number)),
                    Err(_) => {
                        let problem =
                            format!("the environment has {name}={text:?}, which is not a number");
                        Err(ErrorKind::usage(problem).into())
                    }
                },
            }
        };
        let pair = |rank, size| -> Result<Option<(u32, u32)>> {
            Ok(number(rank)?.zip(number(size)?).filter(|(rank, size)| rank < size))
        };
        let mut inner = pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")?;
        if inner.is_none() {
            inner = pair("PMI_RANK", "PMI_SIZE")?;
        }
        // Outside of a step these two are of the script, and there is one of that.
        if inner.is_none() && variable("SLURM_STEP_ID").is_some() {
            inner = pair("SLURM_PROCID", "SLURM_NTASKS")?;
        }
        let outer = match number("SLURM_ARRAY_TASK_ID")? {
            None => number("JOB_COMPLETION_INDEX")?,
            found => found,
        };
        Ok(match (inner, outer) {
            (Some((number, count)), None) => Share::Of { number, count },
            (None, Some(index)) => Share::At(index),
            (Some((rank, size)), Some(index)) => {
                Share::At(index.saturating_mul(size).saturating_add(rank))
            }
            (None, None) => Share::Any,
        })
    }

    /// Every number below `shards` once, those of this share first.
    pub fn order(self, shards: u32) -> Vec<u32> {
        let first: Vec<u32> = match self {
            Share::Any => Vec::new(),
            Share::Of { number, count } => {
                (number..shards).step_by(usize::try_from(count.max(1)).unwrap_or(1)).collect()
            }
            Share::At(index) => index.checked_rem(shards).into_iter().collect(),
        };
        // Others begin elsewhere.
        let start = first.last().map_or(0, |last| last + 1);
        let rest = (start..shards).chain(0..start);
        let mut order = first.clone();
        let mut is_first = vec![false; usize::try_from(shards).unwrap_or(0)];
        for number in &first {
            is_first[*number as usize] = true;
        }
        order.extend(rest.filter(|number| !is_first[*number as usize]));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: Share) {
        let look = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(Share::of_launcher(&look).unwrap(), expected, "{variables:?}");
    }

    /// As the launchers were seen to set them.
    #[test]
    fn a_share_is_what_the_launcher_says() {
        let of = |number, count| Share::Of { number, count };
        check(&[], Share::Any);
        check(&[("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "4")], of(2, 4));
        check(&[("PMI_RANK", "0"), ("PMI_SIZE", "2")], of(0, 2));
        // PMIx gives a rank without a size.
        check(&[("PMIX_RANK", "3")], Share::Any);
        let step = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "4")];
        check(&step, of(1, 4));
        // The script of a job with four tasks is one process.
        check(&step[1..], Share::Any);
        // Every task of an array has process number 0, and says of how many none.
        check(&[("SLURM_PROCID", "0"), ("SLURM_ARRAY_TASK_ID", "5")], Share::At(5));
        // The count of an array is of those that run now, not of all there are.
        let again = [("SLURM_ARRAY_TASK_ID", "2"), ("SLURM_ARRAY_TASK_COUNT", "1")];
        check(&again, Share::At(2));
        // mpirun across nodes: Slurm counts the daemons of it.
        let both = [&step[..], &[("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")]];
        check(&both.concat(), of(3, 4));
        check(&[&step[..], &again].concat(), Share::At(9));
        check(&[("JOB_COMPLETION_INDEX", "7")], Share::At(7));
        // One of GNU parallel counts from 1, and is not a rank.
        check(&[("PARALLEL_SEQ", "1")], Share::Any);
        check(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")], Share::Any);
        let wrong = |name: &str| (name == "JOB_COMPLETION_INDEX").then(|| "x".to_owned());
        assert!(Share::of_launcher(&wrong).is_err());
    }

    #[test]
    fn parts_are_counted_from_1() {
        assert_eq!("1/4".parse(), Ok(Share::Of { number: 0, count: 4 }));
        assert_eq!("4/4".parse(), Ok(Share::Of { number: 3, count: 4 }));
        for wrong in ["0/4", "5/4", "0/0", "1", "1/0", "a/b", "-1/4", "1/4/2"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert!("0/4".parse::<Share>().unwrap_err().contains("1/4"));
    }

    #[test]
    fn every_shard_is_in_every_order_once() {
        for shards in 0..40u32 {
            let mut shares = vec![Share::Any];
            for count in 1..9 {
                shares.extend((0..count).map(|number| Share::Of { number, count }));
                shares.push(Share::At(count * 7));
            }
            for share in shares {
                let mut order = share.order(shards);
                order.sort_unstable();
                assert_eq!(order, (0..shards).collect::<Vec<_>>(), "{share:?} of {shards}");
            }
        }
        assert_eq!(Share::Of { number: 1, count: 3 }.order(7), [1, 4, 5, 6, 0, 2, 3]);
        assert_eq!(Share::At(2).order(4), [2, 3, 0, 1]);
    }
}
