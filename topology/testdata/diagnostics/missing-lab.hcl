network "lan" {} # want: Missing block lab # want: Network "lan" is not used # want: Missing prefix
