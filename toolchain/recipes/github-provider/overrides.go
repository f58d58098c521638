package main

import "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

// Where the official provider departs from what the bridge derives by itself.
var (
	config    = map[string]*tfbridge.SchemaInfo{"token": {Secret: tfbridge.True()}}
	resources = map[string]*tfbridge.ResourceInfo{
		"github_repository_environment": {
			Fields: map[string]*tfbridge.SchemaInfo{"reviewers": {MaxItemsOne: tfbridge.False()}},
		},
	}
)
