# Written by Pavedpath; a change made here is overwritten. Add `include delivery.mk` to the Makefile.
# The pipeline's steps by hand, with the kubeconfig of dev: make cd-dev DEV_HOST=HOST
NAMESPACE ?= october
HOST ?= $(DEV_HOST)
# For example: IMAGES='--image api=REGISTRY/api@sha256:…'
IMAGES ?=

.PHONY: cd-dev cd-dev-atomic smoke-ci smoke-pf helm-lint helm-template-dev helm-up-dev helm-up-dev-atomic helm-history helm-rollback

cd-dev: helm-lint helm-up-dev smoke-ci  ## Check, deploy and try orders

cd-dev-atomic: helm-lint helm-up-dev-atomic smoke-ci  ## The same with a preview

smoke-ci:  ## Ask HOST whether the deployment works
	@pavedpath smoke "$(HOST)"

smoke-pf:  ## The same through port 8080 of this machine
	@kubectl --namespace $(NAMESPACE) port-forward service/orders-api 8080:80 >/dev/null & trap "kill $$!" EXIT; pavedpath smoke http://127.0.0.1:8080

helm-lint:  ## Check the chart
	@helm lint charts/orders --values etc/helm_values/orders/dev.yaml

helm-template-dev:  ## Say what a deployment would change
	@pavedpath deploy orders --environment dev --chart charts/orders --namespace $(NAMESPACE) --values-dir etc/helm_values/orders --timeout 5m --history 10 $(IMAGES) --dry-run

helm-up-dev:  ## Deploy; what does not become ready goes back by itself
	@pavedpath deploy orders --environment dev --chart charts/orders --namespace $(NAMESPACE) --values-dir etc/helm_values/orders --timeout 5m --history 10 $(IMAGES)

helm-up-dev-atomic: helm-template-dev helm-up-dev  ## With a preview

helm-history:  ## Show the revisions
	@pavedpath history orders --namespace $(NAMESPACE)

helm-rollback:  ## Go back to revision REV, or to the one that ran before
	@pavedpath rollback orders --namespace $(NAMESPACE) $(if $(REV),--to-revision $(REV))
