//! Measurements of netlane, beside other stacks
