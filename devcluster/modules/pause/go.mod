module attune.dev/devcluster/pause

go 1.26
