//! The witness of the model.

use rt_core::pair::question::{Answer, Question, Right, Wish};
use rt_core::pair::{Form, Session, Standing};

/// Its register.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Witness {
    register: Option<Standing>,
    seeds: [Option<Standing>; 2],
}

impl Witness {
    pub(crate) fn new(register: Standing) -> Self {
        Self { register: Some(register), seeds: [None; 2] }
    }

    pub(crate) fn register(&self) -> Option<Standing> {
        self.register
    }

    pub(crate) fn lose(&mut self) {
        *self = Self { register: None, seeds: [None; 2] };
    }

    pub(crate) fn forget(&mut self, standing: Standing) {
        self.register = Some(standing);
    }

    pub(crate) fn answer(&mut self, _: Session, question: &Question) -> Answer {
        let mut swapped = false;
        match (self.register, question.wish) {
            (None, Wish::Seed(standing)) => {
                self.seeds[question.node.index()] = Some(standing);
                if self.seeds[0] == self.seeds[1] {
                    self.register = Some(standing);
                }
            }
            (Some(register), Wish::Swap { expected, new, right }) => {
                let may = register.form == Form::Duplex
                    || register.owner() == Some(question.node)
                    || right == Right::Fence;
                if register.epoch == expected && may {
                    self.register = Some(new);
                    swapped = true;
                }
            }
            _ => {}
        }
        Answer { nonce: question.nonce, register: self.register, swapped }
    }
}
