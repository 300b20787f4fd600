"""Everything with digits: solving, kernels, spectra and convergence studies."""
