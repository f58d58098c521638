package main

import (
	"encoding/json"
	"io"
	"log"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
)

// property is one property as a program sees it. List says that it holds many values; Document that a JSON document
// may be given as an object; Fields are those of the objects that it holds.
type property struct {
	Input    bool                `json:"input"`
	List     bool                `json:"list,omitempty"`
	Document bool                `json:"document,omitempty"`
	Fields   map[string]property `json:"fields,omitempty"`
}

// describe prints the properties of every mapped type, by Pulumi token, under the names that the bridge itself uses.
// The tests compare them with the classes of the Python SDK.
func describe(out io.Writer, info tfbridge.ProviderInfo) {
	described := map[string]map[string]property{
		"pulumi:providers:" + info.Name: properties(info.P.Schema(), info.Config),
	}
	for name, resource := range info.Resources {
		described[string(resource.Tok)] = properties(info.P.ResourcesMap().Get(name).Schema(), resource.Fields)
	}
	for name, source := range info.DataSources {
		described[string(source.Tok)] = properties(info.P.DataSourcesMap().Get(name).Schema(), source.Fields)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(described); err != nil {
		log.Fatal(err)
	}
}

func properties(schema shim.SchemaMap, infos map[string]*tfbridge.SchemaInfo) map[string]property {
	found := map[string]property{}
	schema.Range(func(name string, value shim.Schema) bool {
		info := infos[name]
		if info == nil {
			info = &tfbridge.SchemaInfo{}
		}
		if value.Removed() != "" || info.Omit {
			return true
		}
		computed := info.MarkAsComputedOnly != nil && *info.MarkAsComputedOnly
		found[tfbridge.TerraformToPulumiNameV2(name, schema, infos)] = property{
			Input: !computed && (value.Optional() || value.Required()),
			List: (value.Type() == shim.TypeList || value.Type() == shim.TypeSet) &&
				!tfbridge.IsMaxItemsOne(value, info),
			Document: info.Transform != nil,
			Fields:   nested(value, info),
		}
		return true
	})
	return found
}

// nested looks through lists, sets and maps for an object.
func nested(value shim.Schema, info *tfbridge.SchemaInfo) map[string]property {
	if info != nil && info.Elem != nil && value.Type() != shim.TypeMap {
		info = info.Elem
	}
	switch element := value.Elem().(type) {
	case shim.Resource:
		var infos map[string]*tfbridge.SchemaInfo
		if info != nil {
			infos = info.Fields
		}
		return properties(element.Schema(), infos)
	case shim.Schema:
		return nested(element, info)
	}
	return nil
}
