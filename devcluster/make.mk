# The local cluster. It runs with the system's python3 (3.11 or newer) and the standard library, before any environment exists.
DEVCLUSTER = PYTHONPATH=$(CURDIR)/devcluster $(or $(PYTHON),python3) -m attune_devcluster

.PHONY: cluster-up cluster-down cluster-purge cluster-status image image-prune

cluster-up: ## a local Kubernetes with registry and S3 (ATTUNE_CONTEXT, else kind, else built from Go modules)
	@$(DEVCLUSTER) up

cluster-down: ## stop the local cluster; caches and its data stay
	@$(DEVCLUSTER) down

cluster-purge: ## stop the local cluster and delete its data; caches of builds stay
	@$(DEVCLUSTER) down --purge

cluster-status: ## what runs, addresses, kubeconfig, disk use
	@$(DEVCLUSTER) status

image: ## build the images of this checkout and load them into the cluster; IMAGES="operator data" for some of them
	@$(DEVCLUSTER) image build $(IMAGES)

image-prune: ## remove versions of images that nobody needs any longer
	@$(DEVCLUSTER) image prune
