"""Everything that runs experiments: data sets, training, searching, the reports, and what draws and prints them."""
