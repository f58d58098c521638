package main

import (
	"context"
	"fmt"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// explained says what to do about a type that this build leaves out, where the bridge only says that it is unknown.
type explained struct {
	pulumirpc.ResourceProviderServer
	known map[string]bool
}

func known(info tfbridge.ProviderInfo) map[string]bool {
	names := map[string]bool{}
	for _, mapped := range info.Resources {
		names[string(mapped.Tok)] = true
	}
	for _, mapped := range info.DataSources {
		names[string(mapped.Tok)] = true
	}
	return names
}

func (e *explained) check(name string) error {
	if e.known[name] {
		return nil
	}
	return fmt.Errorf("this build of the AWS provider leaves out %s: it was made from source, where the official one "+
		"could not be downloaded, with the types that the program uses; add the type to "+
		"toolchain/recipes/aws-provider/mapping.json and run `python -m toolchain ensure`", name)
}

// Check refuses a resource type that is not mapped.
func (e *explained) Check(ctx context.Context, in *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	if err := e.check(string(resource.URN(in.GetUrn()).Type())); err != nil {
		return nil, err
	}
	return e.ResourceProviderServer.Check(ctx, in)
}

// Invoke refuses a function that is not mapped.
func (e *explained) Invoke(ctx context.Context, in *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	if err := e.check(in.GetTok()); err != nil {
		return nil, err
	}
	return e.ResourceProviderServer.Invoke(ctx, in)
}
